"""The models that the ledger names, from MLflow or, where MLflow is not there, from the copies kept in the home."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from churn_pipeline.core.errors import InputError, RegistryError
from churn_pipeline.core.settings import Settings
from churn_pipeline.modeling import registry
from churn_pipeline.modeling.device import ensure_its_own
from churn_pipeline.modeling.ledger import LedgerRow
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.reference import REFERENCE_FILE, Reference

# Keys among a ledger row's metrics: the digests of the model it speaks of, and of the reference stored with it.
DIGEST = "model_sha256"
REFERENCE_DIGEST = "reference_sha256"


def text_digest(text: str) -> str:
    """SHA-256, hexadecimal."""
    return sha256(text.encode()).hexdigest()


@dataclass
class ModelStore:
    """Models by ledger row, each loaded once a run.

    MLflow is asked first. The copy in ``HOME/data/models`` lets scoring go on while MLflow is gone, or while its files are damaged; the
    digest in the ledger makes sure that it is the same model.

    Attributes:
        settings: the home.
    """

    settings: Settings
    _loaded: dict[tuple[str, str], ScoringModel] = field(default_factory=dict)
    _copied: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def notices(self) -> list[str]:
        """What a person should know: which models came from the copy, and why."""
        return list(self._copied.values())

    def notices_of(self, rows: Iterable[LedgerRow]) -> dict[str, str]:
        """The same of some models, by target."""
        return {
            row.target: self._copied[row.target, row.version]
            for row in rows
            if row.version is not None and (row.target, row.version) in self._copied
        }

    def load(self, row: LedgerRow) -> ScoringModel:
        """The model that a ledger row speaks of.

        Raises:
            RegistryError: MLflow does not give it, and there is no copy.
            InputError: what is there is damaged, or is another model.
            RefusedError: it was trained on a graphics card, and here is none: its bits would be others.
        """
        assert row.version is not None
        key = (row.target, row.version)
        if key not in self._loaded:
            model = self._read(row, row.version)
            ensure_its_own(f"{row.target} version {row.version}", model.device)
            self._loaded[key] = model
        return self._loaded[key]

    def _read(self, row: LedgerRow, version: str) -> ScoringModel:
        settings, digest = self.settings, row.metrics.get(DIGEST)
        where = f"model {row.target} version {version} in {registry.shown(settings.tracking_uri)}"
        try:
            contents = registry.files(row.target, version, settings.tracking_uri)
            model = ScoringModel.from_files(contents, where, settings.threads, digest)
        except (RegistryError, InputError) as error:
            if not self._copy(row.target, version).is_dir():
                raise
            model = ScoringModel.load(self._copy(row.target, version), settings.threads, digest)
            self._copied[row.target, version] = (
                f"{row.target} version {version} comes from the copy in {settings.models}, because: {error}"
            )
        else:
            reference = contents.get(REFERENCE_FILE)
            self.keep(row.target, version, model, reference.decode() if reference is not None else None)
        return model

    def reference(self, row: LedgerRow) -> Reference:
        """What the training weeks of a version looked like.

        Raises:
            InputError: neither the copy nor MLflow has it as it was stored.
        """
        wanted = row.metrics.get(REFERENCE_DIGEST)
        for text in self._references(row):
            if wanted is not None and text_digest(text) == wanted:
                return Reference.from_json(text)
        raise InputError(
            f"{row.target} version {row.version}: the reference of its training weeks is not there as it was stored, neither in "
            f"{self.settings.models} nor in MLflow"
        )

    def _references(self, row: LedgerRow) -> Iterator[str]:
        assert row.version is not None
        copy = self._copy(row.target, row.version) / REFERENCE_FILE
        if copy.is_file():
            yield copy.read_text(encoding="utf-8", errors="replace")
        try:
            contents = registry.files(row.target, row.version, self.settings.tracking_uri)
        except RegistryError:
            return
        yield contents.get(REFERENCE_FILE, b"").decode(errors="replace")

    def keep(self, target: str, version: str, model: ScoringModel, reference: str | None) -> None:
        """Keeps a copy of a registered model and its reference, whole or not at all. One that is damaged is replaced."""
        final = self._copy(target, version)
        if final.is_dir():
            try:
                ScoringModel.load(final, digest=model.digest)
                kept = final / REFERENCE_FILE
                if reference is None or (kept.is_file() and kept.read_bytes() == reference.encode()):
                    return
            except InputError:
                pass
            shutil.rmtree(final)
        # The home's lock is held, so whatever lies half-written here belongs to a run that was killed.
        for leftover in final.parent.glob(".*.tmp"):
            shutil.rmtree(leftover)
        temporary = final.with_name(f".{final.name}.tmp")
        model.save(temporary)
        if reference is not None:
            (temporary / REFERENCE_FILE).write_text(reference, encoding="utf-8")
        temporary.rename(final)

    def _copy(self, target: str, version: str) -> Path:
        return self.settings.models / target / version
