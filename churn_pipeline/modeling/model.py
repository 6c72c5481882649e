"""A trained model: trees, a linear sum or both, their calibration, and everything needed to score a frame and to give reasons.

On disk trees are UBJ and the rest is JSON, with a checksum each: loading one executes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.model_kinds import FIRST_KIND, Device, Kind
from churn_pipeline.core.targets import Target, target_named
from churn_pipeline.features.catalogue import Catalogue
from churn_pipeline.modeling.calibrate import Platt
from churn_pipeline.modeling.encode import Encoder, Matrix
from churn_pipeline.modeling.linear import Linear

if TYPE_CHECKING:
    import xgboost as xgb

BOOSTER_FILE = "model.ubj"
LINEAR_FILE = "linear.json"
CHECKSUM_FILE = "checksums.json"
JSON_FILES = ("calibration.json", "catalogue.json", "categories.json", "metadata.json")


@dataclass(frozen=True)
class Explained:
    """Scores with their reasons.

    Attributes:
        probability: shape (rows,), in (0, 1).
        contributions: shape (rows, features) in the catalogue's order, log-odds of the calibrated probability.
        bias: the same for all rows; contributions.sum(axis=1) + bias = logit(probability).
        notices: what scoring passed over in the frame.
    """

    probability: NDArray[np.float64]
    contributions: NDArray[np.float64]
    bias: float
    notices: tuple[str, ...]


@dataclass(frozen=True)
class ScoringModel:
    """Scores customers; the same rows give the same bits, alone or in a batch, on any number of threads.

    The raw log-odds are those of the trees, of the linear sum, or the mean of both; calibration is one affine map of them.

    Attributes:
        target: what it predicts.
        training_monday: T; it saw only labels closed by then.
        booster: the trees; None where there are none.
        linear: the linear sum; None where there is none. At least one of the two is there.
        platt: calibration of the raw log-odds.
        encoder: columns and categories.
        kind: what it is, for people and policy.
        metadata: facts for people (slices, versions, number of trees); JSON values, read by no code path of scoring.
        threads: for prediction.
        device: that the trees were made on, and are read on: their bits differ by device.
    """

    target: Target
    training_monday: date
    booster: xgb.Booster | None
    platt: Platt
    encoder: Encoder
    linear: Linear | None = None
    kind: Kind = FIRST_KIND
    metadata: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    device: Device = "cpu"

    def __post_init__(self) -> None:
        if self.booster is None and self.linear is None:
            raise ValueError("a model needs trees or a linear sum")

    @property
    def catalogue(self) -> Catalogue:
        return self.encoder.catalogue

    @property
    def labels_closed_by(self) -> date:
        """Every label it was trained or calibrated on was closed at this date."""
        return self.training_monday

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what was learned, calibration apart, hexadecimal."""
        digest = sha256()
        for data in self._learned().values():
            digest.update(data)
        return digest.hexdigest()

    def raw(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Log-odds before calibration, shape (rows,)."""
        if not len(frame):
            # XGBoost gives an array of another shape, with a warning.
            return np.zeros(0)
        matrix = self.encoder.matrix(frame)
        parts = []
        if self.booster is not None:
            parts.append(self._predict(self.booster, matrix, output_margin=True).astype(np.float64))
        if self.linear is not None:
            parts.append(self.linear.log_odds(self.encoder, matrix))
        return parts[0] if len(parts) == 1 else (parts[0] + parts[1]) / 2

    def probability(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Calibrated probabilities, shape (rows,), in (0, 1)."""
        return self.platt.probability(self.raw(frame))

    def contributions(self, frame: pd.DataFrame) -> tuple[NDArray[np.float64], float]:
        """How much each feature moves the log-odds of the calibrated probability.

        TreeSHAP (Lundberg et al. 2020, computed by XGBoost) of the trees' log-odds, the distance from the training mean times the weight
        for the linear sum, their mean where there are both; times the calibration slope, which is exact because calibration is affine:
        contributions.sum(axis=1) + bias = logit(probability), to 1e-4 (float32 sums inside XGBoost).

        Returns:
            Contributions, shape (rows, features) in the catalogue's order, and the bias, which is the same for all rows.
        """
        if not len(frame):
            return np.zeros((0, len(self.catalogue))), self.platt.intercept
        matrix = self.encoder.matrix(frame)
        parts: list[tuple[NDArray[np.float64], float]] = []
        if self.booster is not None:
            shap = self._predict(self.booster, matrix, pred_contribs=True).astype(np.float64)
            parts.append((shap[:, :-1], float(shap[0, -1])))
        if self.linear is not None:
            parts.append(self.linear.contributions(self.encoder, matrix))
        contributions = np.mean([part for part, _ in parts], axis=0) * self.platt.slope
        return contributions, float(self.platt.log_odds(np.mean([bias for _, bias in parts])))

    def explain(self, frame: pd.DataFrame) -> Explained:
        """Probabilities, contributions, and what was passed over in ``frame``, each notice naming the target."""
        contributions, bias = self.contributions(frame)
        return Explained(self.probability(frame), contributions, bias, self.notices(frame))

    def notices(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """What scoring passes over in ``frame``, each notice naming the target."""
        return tuple(f"{self.target.name}: {notice}" for notice in self.encoder.notices(frame))

    @property
    def digest(self) -> str:
        """SHA-256 over all files, hexadecimal: names one model among all others, calibration and catalogue included."""
        return sha256(self.files()[CHECKSUM_FILE]).hexdigest()

    def files(self) -> dict[str, bytes]:
        """File names and contents, the checksum file included."""
        contents = {
            **self._learned(),
            "calibration.json": _json(asdict(self.platt)),
            "catalogue.json": self.catalogue.to_json().encode(),
            "categories.json": _json(dict(self.encoder.categories)),
            "metadata.json": _json(
                {
                    "target": self.target.name,
                    "training_monday": str(self.training_monday),
                    # Versions that were stored before there were kinds keep their digest.
                    **({"kind": self.kind} if self.kind != FIRST_KIND else {}),
                    **({"device": self.device} if self.device != "cpu" else {}),
                    "facts": dict(self.metadata),
                }
            ),
        }
        return contents | {CHECKSUM_FILE: _json({name: sha256(data).hexdigest() for name, data in contents.items()})}

    def save(self, directory: Path) -> None:
        """Writes the model's files into ``directory``, which is created."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in self.files().items():
            (directory / name).write_bytes(data)

    @classmethod
    def load(cls, directory: Path, threads: int = 1, digest: str | None = None) -> Self:
        """Reads what `save` wrote.

        Raises:
            InputError: a file is missing or is not what was saved, or it is another model than the one of that digest.
        """
        names = (BOOSTER_FILE, LINEAR_FILE, *JSON_FILES, CHECKSUM_FILE)
        contents = {n: (directory / n).read_bytes() for n in names if (directory / n).is_file()}
        return cls.from_files(contents, str(directory), threads, digest)

    @classmethod
    def from_files(cls, contents: Mapping[str, bytes], where: str, threads: int = 1, digest: str | None = None) -> Self:
        """Builds the model from file contents.

        Args:
            contents: as from `files`; further names are ignored (MLflow keeps files of its own beside them).
            where: named in errors.
            threads: for prediction.
            digest: of the model that it has to be; any unless given.

        Raises:
            InputError: a file is missing or is not what was saved, or it is another model than the one of that digest.
        """
        if missing := [name for name in (*JSON_FILES, CHECKSUM_FILE) if name not in contents]:
            raise InputError(f"{where}: not a whole model: {', '.join(missing)} missing")
        if digest is not None and sha256(contents[CHECKSUM_FILE]).hexdigest() != digest:
            raise InputError(f"{where}: not the model that the ledger names: its files have another SHA-256")
        try:
            checksums = json.loads(contents[CHECKSUM_FILE])
        except ValueError:
            raise InputError(f"{where}: {CHECKSUM_FILE} is damaged") from None
        # The checksums name all files of the model, so that one that is gone is not taken for one that never was.
        for name in sorted(checksums):
            if name not in contents:
                raise InputError(f"{where}: not a whole model: {name} missing")
            if sha256(contents[name]).hexdigest() != checksums[name]:
                raise InputError(f"{where}: {name} is damaged: its SHA-256 is not the one it was saved with")
        if not {BOOSTER_FILE, LINEAR_FILE} & set(checksums):
            raise InputError(f"{where}: not a whole model: neither {BOOSTER_FILE} nor {LINEAR_FILE} is there")
        metadata = json.loads(contents["metadata.json"])
        device = metadata.get("device", "cpu")
        booster = None
        if BOOSTER_FILE in checksums:
            import xgboost as xgb

            booster = xgb.Booster({"nthread": threads, "device": device}, model_file=bytearray(contents[BOOSTER_FILE]))
        linear = Linear.from_json(json.loads(contents[LINEAR_FILE])) if LINEAR_FILE in checksums else None
        categories = json.loads(contents["categories.json"])
        return cls(
            target=target_named(metadata["target"]),
            training_monday=date.fromisoformat(metadata["training_monday"]),
            booster=booster,
            linear=linear,
            kind=metadata.get("kind", FIRST_KIND),
            platt=Platt(**json.loads(contents["calibration.json"])),
            encoder=Encoder(
                Catalogue.from_json(contents["catalogue.json"].decode()),
                {name: tuple(values) for name, values in categories.items()},
            ),
            metadata=metadata["facts"],
            threads=threads,
            device=device,
        )

    def _learned(self) -> dict[str, bytes]:
        learned = {}
        if self.booster is not None:
            learned[BOOSTER_FILE] = bytes(self.booster.save_raw("ubj"))
        if self.linear is not None:
            learned[LINEAR_FILE] = _json(self.linear.to_json())
        return learned

    def _predict(self, booster: xgb.Booster, matrix: Matrix, **kind: bool) -> NDArray[np.float32]:
        return booster.predict(self.encoder.dmatrix(matrix, threads=self.threads), **kind)


def _json(value: Any) -> bytes:
    return json_text(value, indent=1, sort_keys=True, allow_undefined=False).encode()
