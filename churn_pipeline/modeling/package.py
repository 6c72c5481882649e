"""A model as MLflow serves it: a python_function from code, with all the code it needs, and no pickle.

The code that scores goes along under a package name that holds its own hash. So neither an installed churn_pipeline nor the code of
another version in the same process can take its place, and it takes theirs from nobody.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from churn_pipeline.features.catalogue import Catalogue, Feature
from churn_pipeline.features.sentences import Format
from churn_pipeline.modeling.model import ScoringModel

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema

_PACKAGE = Path(__file__).parents[1]
_SCRIPT = Path(__file__).with_name("served.py")
# By how it is written, a value such as a customer might have. Nobody's: the example that goes with a version is made up.
_EXAMPLE: dict[Format, Any] = {
    "count": 12.0,
    "days": 90.0,
    "usd": 500.0,
    "percent": 0.25,
    "score": 0.5,
    "points": -0.05,
    "hours": 24.0,
    "boolean": True,
}


class Flavour:
    """MLflow's interface of a flavour, for `mlflow.models.Model.log`."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, model: ScoringModel, folder: Path, **_: Any) -> None:
        """Writes a version.

        Args:
            path: where to.
            mlflow_model: what MLflow says of it, completed here.
            model: the model.
            folder: its files, and what lies beside them.
        """
        import mlflow.pyfunc

        scratch = folder.with_name("code")
        package = _write_code(scratch)
        mlflow.pyfunc.save_model(
            path,
            python_model=str(scratch / "predict.py"),
            artifacts={"model": str(folder)},
            code_paths=[str(scratch / package)],
            signature=signature(model.catalogue),
            input_example=input_example(model),
            # Given, because inferring them imports the model in a subprocess and takes six seconds.
            pip_requirements=requirements(model),
            mlflow_model=mlflow_model,
        )
        mlflow_model.metadata = {
            "target": model.target.name,
            "mart": model.catalogue.mart,
            "inputs": {feature.name: {"type": feature.dtype, "label": feature.label} for feature in model.catalogue},
        }
        # MLflow notes where it took things from. A version is read on other machines, and by more people than see this one.
        mlflow_model.artifact_path = "model"
        flavour = mlflow_model.flavors[mlflow.pyfunc.FLAVOR_NAME]
        flavour["model_code_path"] = "predict.py"
        del flavour["cloudpickle_version"]
        for entry in flavour["artifacts"].values():
            entry["uri"] = entry["path"]
        mlflow_model.save(str(Path(path) / "MLmodel"))


def signature(catalogue: Catalogue) -> ModelSignature:
    """What a version takes and gives, by name.

    Every column may be left out, and has the type ``any``: MLflow takes an integer for a double only where all of them are 0 or 1, and
    no column of categories for text, while a mart has whole numbers, nulls and both. The model itself refuses what is no number, and
    names the column; what a column should hold stands beside the signature (`Flavour.save_model`).
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    outputs = ("probability", "bias", *(f"contribution_{name}" for name in catalogue.names))
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(AnyType(), name, required=False)  # type: ignore[no-untyped-call]
                for name in catalogue.names
            ]
        ),
        outputs=Schema([ColSpec(DataType.double, name) for name in outputs]),
    )


def schema_of(catalogue: Catalogue) -> Schema:
    """The columns of the rows that a model learns from, with the label."""
    from mlflow.types import ColSpec, DataType, Schema

    types = {"numeric": DataType.double, "boolean": DataType.boolean, "categorical": DataType.string}
    features = [ColSpec(types[feature.dtype], feature.name, required=False) for feature in catalogue]
    return Schema([*features, ColSpec(DataType.double, "label")])


def input_example(model: ScoringModel) -> pd.DataFrame:
    """Two made-up customers: one of whom everything is known, and one of whom nothing is."""

    def value(feature: Feature) -> Any:
        if feature.dtype == "categorical":
            return next(iter(model.encoder.categories[feature.name]), None)
        return _EXAMPLE.get(feature.format, 1.0)

    return pd.DataFrame({feature.name: pd.Series([value(feature), None], dtype=object) for feature in model.catalogue})


def requirements(model: ScoringModel) -> list[str]:
    """The packages that serving needs, with their versions. MLflow adds itself."""
    packages = ["numpy", "pandas"]
    if model.booster is not None:
        packages.append(_xgboost())
    return [f"{package}=={installed(package)}" for package in packages]


def _xgboost() -> str:
    # The same library without the part for graphics cards has another name.
    try:
        installed("xgboost")
    except PackageNotFoundError:
        return "xgboost-cpu"
    return "xgboost"


def _write_code(folder: Path) -> str:
    """Writes ``predict.py`` and the package it imports into ``folder``; gives the package's name."""
    package, files = _code()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


@cache
def _code() -> tuple[str, dict[str, str]]:
    """The name of the package, and by path the text of ``predict.py`` and of every module that it comes to import."""
    texts: dict[Path, str] = {}
    waiting = [_SCRIPT]
    while waiting:
        path = waiting.pop()
        if path not in texts:
            texts[path] = path.read_text(encoding="utf-8")
            waiting.extend(_imported(texts[path]))
    digest = sha256()
    for path in sorted(texts):
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{texts[path]}\0".encode())
    package = f"{_PACKAGE.name}_{digest.hexdigest()[:12]}"
    renamed = {path: re.sub(rf"\b{_PACKAGE.name}(?=\.\w)", package, text) for path, text in texts.items()}
    files = {f"{package}/{path.relative_to(_PACKAGE).as_posix()}": renamed[path] for path in texts if path != _SCRIPT}
    files |= {f"{package}/{path.parent.relative_to(_PACKAGE).as_posix()}/__init__.py": "" for path in texts}
    files[f"{package}/__init__.py"] = (
        '"""What churn_pipeline needs to score, as it was when this version was trained."""\n'
    )
    return package, files | {"predict.py": renamed[_SCRIPT]}


def _imported(text: str) -> Iterator[Path]:
    """The modules of this package that a module's text imports, anywhere in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE.name}."):
            assert node.module is not None
            path = _PACKAGE.joinpath(*node.module.split(".")[1:])
            if path.with_suffix(".py").is_file():
                yield path.with_suffix(".py")
            else:
                yield from (path / f"{alias.name}.py" for alias in node.names)
