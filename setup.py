"""What pyproject.toml cannot say: folders at the top of the repository that the package needs go into the wheel, inside the package.

They stay where they are in a checkout, where people edit them; `shipped` in churn_pipeline/core/settings.py finds either.
"""

from pathlib import Path
from shutil import copy2

from setuptools import setup
from setuptools.command.build_py import build_py

PACKAGE = "churn_pipeline"
# By their endings, and nothing that dbt has parsed or compiled in the folder: it names paths of this machine.
WRITTEN_BY_DBT = {"target", "logs", "dbt_packages"}
SHIPPED = [
    Path("workspace.yaml"),
    *sorted(
        path
        for ending in ("sql", "yml", "csv")
        for path in Path("dbt_project").rglob(f"*.{ending}")
        if not WRITTEN_BY_DBT.intersection(path.parts)
    ),
]


class BuildWithProject(build_py):
    """Copies what is shipped beside the modules. An editable installation copies nothing: it is the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for path in SHIPPED:
            copy = Path(self.build_lib, PACKAGE, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy2(path, copy)


setup(cmdclass={"build_py": BuildWithProject})
