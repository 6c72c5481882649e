"""A version in MLflow: what it answers, and what it says of where it comes from. One of each kind, in a store of its own."""

from __future__ import annotations

import getpass
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

import mlflow
from churn_pipeline.core.checkout import commit
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.model_kinds import KINDS, Kind
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.customers.what_if import WhatIf, what_if
from churn_pipeline.modeling import registry
from churn_pipeline.modeling.calibrate import logit
from churn_pipeline.modeling.fit import TrainingResult, fit
from churn_pipeline.modeling.ladder import Belief, fit_base_rate, fit_of_shorter
from churn_pipeline.modeling.linear import Linear
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.promote import decide
from churn_pipeline.policy.tiers import RiskTier
from churn_pipeline.scoring.score import monotone
from tests.support.homes import UNUSED
from tests.unit.modeling.frames import CATALOGUE, MONDAY, company

SHORT, LONG = TARGETS["churn_30d"], TARGETS["churn_90d"]
SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50)
BOTH = frozenset(("tier_history", "mrr_history"))
BELIEF = Belief(0.05, 20)
DATA = {"data": "0123456789abcdef0123456789abcdef"}
SECONDS = 30
TIERS = (RiskTier("grave", 2, 0.1, True), RiskTier("calm", 1, 0.0, False))


@dataclass(frozen=True)
class Version:
    """A registered version and what it was registered from."""

    result: TrainingResult
    number: str

    @property
    def uri(self) -> str:
        return f"models:/{self.result.target.name}/{self.number}"

    @property
    def run(self) -> Run:
        client = mlflow.MlflowClient()
        return client.get_run(client.get_model_version(self.result.target.name, self.number).run_id)

    def folder(self) -> Path:
        return Path(mlflow.artifacts.download_artifacts(self.uri))


@pytest.fixture(scope="module", autouse=True)
def bytecode() -> Iterator[None]:
    """What is registered is looked at: Python would write beside it what it made of predict.py when that was loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return company(weeks=30)


@pytest.fixture(scope="module")
def results(frame: pd.DataFrame) -> dict[Kind, TrainingResult]:
    trained = fit(SHORT, frame, MONDAY, CATALOGUE, SETTINGS, BOTH)
    model = trained.model
    linear = Linear.fit(model.encoder, model.encoder.matrix(frame), frame["label"].to_numpy(dtype=np.float64))
    parts = {"trees": (model.booster, None), "logistic": (None, linear), "mean": (model.booster, linear)}
    made: dict[Kind, TrainingResult] = {
        kind: replace(trained, model=replace(model, kind=kind, booster=booster, linear=part))
        for kind, (booster, part) in parts.items()
    }
    made["base_rate"] = fit_base_rate(SHORT, frame[:0], MONDAY, CATALOGUE, SETTINGS, BOTH, BELIEF, "more departures")
    made["of_30d"] = fit_of_shorter(LONG, frame, MONDAY, trained, BELIEF, "more departures")
    assert made.keys() == KINDS.keys()
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="module")
def versions(results: dict[Kind, TrainingResult], store: Path) -> dict[Kind, Version]:
    return {kind: Version(result, _register(result, store)) for kind, result in results.items()}


def _register(result: TrainingResult, store: Path, **more: object) -> str:
    began = datetime.now(UTC) - timedelta(seconds=SECONDS)
    given = {"fingerprints": DATA, "tags": {"run_id": "r1"}, "beside": {"reference.json": "{}"}, "who": "ana"} | more
    return registry.register(
        result,
        decide(result),
        tracking_uri=f"sqlite:///{store / 'mlflow.db'}",
        artifact_root=store / "artifacts",
        began=began,
        **given,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_of_every_kind_answers_to_the_bit_as_the_pipeline_scores(
    kind: Kind, versions: dict[Kind, Version], frame: pd.DataFrame
) -> None:
    model = versions[kind].result.model
    rows = frame[:200].sample(frac=1, random_state=1)
    rows.loc[rows.index[:3], ["health", "industry"]] = [None, "farming"]
    # As DuckDB and people give them: whole numbers with and without nulls, categories, columns in another order.
    given = rows.assign(
        days_since_last_event=rows["days_since_last_event"].astype("Int64"),
        industry=rows["industry"].astype("category"),
    )[rows.columns[::-1]]
    answer = mlflow.pyfunc.load_model(versions[kind].uri).predict(given)
    expected = model.explain(rows)
    assert answer.index.equals(rows.index)
    assert np.array_equal(answer["probability"], expected.probability)
    assert np.array_equal(answer.filter(like="contribution_"), expected.contributions)
    sums = answer.drop(columns="probability").sum(axis=1)
    assert np.abs(sums - logit(answer["probability"])).max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_the_example_and_the_answer_have_the_same_columns(
    kind: Kind, versions: dict[Kind, Version], frame: pd.DataFrame
) -> None:
    model = versions[kind].result.model
    loaded = mlflow.pyfunc.load_model(versions[kind].uri)
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == model.catalogue.names
    assert loaded.metadata.metadata["inputs"].keys() == set(model.catalogue.names)
    example = loaded.input_example
    assert list(example) == model.catalogue.names
    answer = loaded.predict(example)
    assert signature.outputs.input_names() == list(answer)
    assert ((answer["probability"] > 0) & (answer["probability"] < 1)).all()
    # The example is nobody: no number in it is one that somebody has.
    continuous = {"health", "mrr"} & set(model.catalogue.names)
    assert not any(set(example[name].dropna()) & set(frame[name]) for name in continuous)


def test_no_rows_give_no_answers(versions: dict[Kind, Version], frame: pd.DataFrame) -> None:
    for version in versions.values():
        loaded = mlflow.pyfunc.load_model(version.uri)
        assert list(loaded.predict(frame[:0])) == loaded.metadata.signature.outputs.input_names()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("health", "poor", "feature health is declared numeric, and holds something else"),
        ("health", [1, 2], "feature health is declared numeric, and holds something else"),
        ("health", np.inf, "feature health: 1 values are infinite or beyond float32"),
    ],
)
def test_what_is_no_number_is_refused_by_name(
    column: str, value: object, said: str, versions: dict[Kind, Version], frame: pd.DataFrame
) -> None:
    wrong = frame[:1].astype({column: object})
    wrong.at[wrong.index[0], column] = value
    with pytest.raises(mlflow.MlflowException, match=said) as refusal:
        mlflow.pyfunc.load_model(versions["mean"].uri).predict(wrong)
    assert refusal.value.error_code == "INVALID_PARAMETER_VALUE"


def test_rows_without_any_column_of_the_model_are_refused(versions: dict[Kind, Version], frame: pd.DataFrame) -> None:
    with pytest.raises(mlflow.MlflowException, match="none of the 5 columns of mart_customer_churn_features"):
        mlflow.pyfunc.load_model(versions["trees"].uri).predict(frame[["customer_id"]])


def test_two_versions_of_other_code_answer_side_by_side_each_by_its_own(
    versions: dict[Kind, Version], frame: pd.DataFrame, tmp_path: Path
) -> None:
    """As if the code had changed between two trainings; MLflow puts the code of both on one path."""
    import shutil

    other = tmp_path / "other"
    shutil.copytree(versions["trees"].folder(), other)
    (package,) = (path.name for path in (other / "code").iterdir())
    (other / "code" / package).rename(other / "code" / "churn_pipeline_of_old")
    for path in [*other.rglob("*.py")]:
        path.write_text(path.read_text(encoding="utf-8").replace(package, "churn_pipeline_of_old"), encoding="utf-8")
    calibrate = other / "code" / "churn_pipeline_of_old" / "modeling" / "calibrate.py"
    calibrate.write_text(
        calibrate.read_text(encoding="utf-8").replace("0.5 * (1.0 + ", "0.25 * (1.0 + "), encoding="utf-8"
    )
    old, new = (
        mlflow.pyfunc.load_model(uri).predict(frame[:5])["probability"] for uri in (str(other), versions["trees"].uri)
    )
    assert np.array_equal(old, new / 2)
    assert np.array_equal(new, versions["trees"].result.model.probability(frame[:5]))


def test_the_pipeline_reads_the_model_and_what_lies_beside_it_and_none_of_the_code(
    versions: dict[Kind, Version], store: Path
) -> None:
    for version in versions.values():
        uri = f"sqlite:///{store / 'mlflow.db'}"
        contents = registry.files(version.result.target.name, version.number, uri)
        assert not [name for name in contents if name.endswith(".py") and name != "predict.py"]
        assert contents["reference.json"] == b"{}"
        model = ScoringModel.from_files(contents, "here", digest=version.result.model.digest)
        assert model.kind == version.result.kind


def test_no_file_of_a_version_is_a_pickle_and_trees_need_xgboost_and_nothing_else_does(
    versions: dict[Kind, Version],
) -> None:
    for kind, version in versions.items():
        folder = version.folder()
        for path in folder.rglob("*"):
            assert path.suffix in ("", ".py", ".json", ".ubj", ".yaml", ".txt"), path
        assert "cloudpickle" not in (folder / "MLmodel").read_text(encoding="utf-8")
        required = (folder / "requirements.txt").read_text(encoding="utf-8").split()
        packages = ["mlflow", "numpy", "pandas", *(["xgboost"] if version.result.model.booster is not None else [])]
        assert required == [f"{package}=={installed(package)}" for package in packages], kind


def test_nothing_in_a_version_or_its_run_names_a_path_of_this_machine(
    versions: dict[Kind, Version], store: Path
) -> None:
    places = {
        str(Path(place).resolve()) for place in (store, tempfile.gettempdir(), REPOSITORY, sys.prefix, Path.home())
    }
    places |= {str(Path.cwd())} - {"/"}
    for path in (store / "artifacts").rglob("*"):
        if path.is_file() and path.suffix not in (".png", ".ubj"):
            text = path.read_text(encoding="utf-8")
            assert not [place for place in places if place in text], path
    # What MLflow needs to find the files again, and a moved home's are made to follow.
    known = {*registry._PLACES}
    with closing(sqlite3.connect(store / "mlflow.db")) as con:
        tables = [name for (name,) in con.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            cursor = con.execute(f"select * from {table}")
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    if (table, column) not in known:
                        assert not [place for place in places if place in str(value)], (table, column, value)


def test_every_experiment_lies_in_the_home(versions: dict[Kind, Version], store: Path) -> None:
    """MLflow's own one pointed at whatever folder the first training was started in."""
    experiments = mlflow.MlflowClient().search_experiments()
    assert {experiment.name for experiment in experiments} == {"Default", registry.EXPERIMENT}
    for experiment in experiments:
        assert experiment.artifact_location.startswith((store / "artifacts").as_uri()), experiment


@pytest.mark.parametrize(
    ("uri", "in_the_home"),
    [
        (None, True),
        ("sqlite:////somewhere/mlflow.db", True),
        ("postgresql+psycopg2://u:p@host/mlflow", True),
        ("http://host:5000", False),
        ("https://host", False),
    ],
)
def test_files_go_into_the_home_unless_a_server_keeps_them(uri: str | None, in_the_home: bool, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_tracking_uri=uri)
    assert registry.artifacts_of(settings) == (settings.mlflow_artifacts if in_the_home else None)


def test_a_moved_store_takes_mlflows_own_experiment_along_unless_somebody_has_runs_in_it(
    versions: dict[Kind, Version], store: Path, tmp_path: Path
) -> None:
    import shutil

    def default(database: Path) -> str:
        with closing(sqlite3.connect(database)) as con:
            return con.execute("select artifact_location from experiments where experiment_id = 0").fetchone()[0]

    database, elsewhere = tmp_path / "mlflow.db", "file:///somebody/mlruns/0"
    shutil.copy(store / "mlflow.db", database)
    assert registry.follow_home(database, tmp_path / "artifacts")
    assert default(database) == (tmp_path / "artifacts" / "default").as_uri()
    assert not registry.follow_home(database, tmp_path / "artifacts")
    # Of before, and with a run of somebody's.
    for runs, expected in ((0, (tmp_path / "artifacts" / "default").as_uri()), (1, elsewhere)):
        with closing(sqlite3.connect(database)) as con, con:
            con.execute("update experiments set artifact_location = ? where experiment_id = 0", [elsewhere])
            con.execute(
                "update runs set experiment_id = 0 where run_uuid in (select run_uuid from runs limit ?)", [runs]
            )
        assert registry.follow_home(database, tmp_path / "artifacts") == (not runs)
        assert default(database) == expected


def test_a_run_spans_its_training_and_says_who_what_and_which_commit(versions: dict[Kind, Version]) -> None:
    for version in versions.values():
        run = version.run
        assert run.info.status == "FINISHED"
        assert run.info.end_time - run.info.start_time >= SECONDS * 1000
        tags = run.data.tags
        assert (tags["mlflow.user"], tags["mlflow.source.name"], tags["run_id"]) == ("ana", "churn", "r1")
        assert tags["target"] == version.result.target.name
        running = commit()
        assert tags.get("mlflow.source.git.commit") == (running.hash if running else None)
        assert tags.get("mlflow.source.git.dirty") == (str(running.is_changed).lower() if running else None)
        assert "mlflow.source.git.repoURL" not in tags
        assert getpass.getuser() not in (tags["mlflow.user"], run.info.user_id)


def test_a_run_whose_registration_fails_is_a_failed_one(
    results: dict[Kind, TrainingResult], versions: dict[Kind, Version], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(registry, "model_card", fail)
    with pytest.raises(registry.RegistryError, match="no space left"):
        _register(results["trees"], store, who="bert")
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([versions["trees"].run.info.experiment_id], "tags.mlflow.user = 'bert'")
    assert run.info.status == "FAILED"


def test_datasets_are_named_by_what_they_hold_and_show_no_row(
    versions: dict[Kind, Version], frame: pd.DataFrame, store: Path
) -> None:
    run = versions["trees"].run
    inputs = {entry.tags[0].value: entry.dataset for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"training", "testing", "training of the judged twin"}
    facts = versions["trees"].result.slices
    for context, slice_name in (("training", "refit_train"), ("testing", "test")):
        dataset, fact = inputs[context], facts[slice_name]
        assert dataset.name == f"mart_customer_churn_features {fact.first} to {fact.last}"
        assert json.loads(dataset.profile)["num_rows"] == fact.rows
        columns = [column["name"] for column in json.loads(dataset.schema)["mlflow_colspec"]]
        assert columns == [*versions["trees"].result.model.catalogue.names, "label"]
        shown = dataset.schema + dataset.profile + dataset.source
        assert not [customer for customer in set(frame["customer_id"]) if customer in shown]
    # Known again where the data are the same, and another where they are not.
    digests = [
        sorted(entry.dataset.digest for entry in versions[kind].run.inputs.dataset_inputs) for kind in ("trees", "mean")
    ]
    assert digests[0] == digests[1]
    changed = Version(
        versions["trees"].result, _register(versions["trees"].result, store, fingerprints={"data": "other"})
    )
    assert not {*digests[0]} & {entry.dataset.digest for entry in changed.run.inputs.dataset_inputs}


def test_metrics_come_in_groups_and_belong_to_the_model_and_to_the_rows_that_they_were_judged_on(
    versions: dict[Kind, Version],
) -> None:
    version = versions["trees"]
    run = version.run
    groups = {name.split("/")[0] for name in run.data.metrics}
    assert groups == {"model", "baselines", "differences", "business", "choice"}
    assert all(name.count("/") == 1 for name in run.data.metrics)
    assert version.result.judged is not None
    auc = version.result.judged.metrics["auc"]
    assert [run.data.metrics[f"model/auc{end}"] for end in ("", "_low", "_high")] == [auc.value, auc.low, auc.high]
    client = mlflow.MlflowClient()
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert client.get_model_version(SHORT.name, version.number).source == logged.model_uri
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": SHORT.name, "version": version.number}]
    assert {metric.key for metric in logged.metrics} == set(run.data.metrics)
    (test,) = (e.dataset.digest for e in run.inputs.dataset_inputs if e.tags[0].value == "testing")
    assert {metric.dataset_digest for metric in logged.metrics} == {test}
    assert versions["base_rate"].run.data.metrics == {}


def test_the_description_of_a_version_says_what_it_answers_and_what_the_table_makes_of_it(
    versions: dict[Kind, Version],
) -> None:
    client = mlflow.MlflowClient()
    short, long = (
        client.get_model_version(versions[kind].result.target.name, versions[kind].number)
        for kind in ("trees", "of_30d")
    )
    assert "It is `churn_probability_30d` of the table of predictions." in short.description
    assert "`churn_probability_90d` of the table of predictions is at least `churn_probability_30d`" in long.description


def test_mlflow_reports_to_nobody() -> None:
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    assert MLFLOW_DISABLE_TELEMETRY.get()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one commit of a package of this one's name."""
    (tmp_path / "churn_pipeline").mkdir()
    (tmp_path / "churn_pipeline" / "__init__.py").write_text("")
    (tmp_path / "dbt_project").mkdir()
    for arguments in (("init",), ("add", "."), ("commit", "-m", "first")):
        git(tmp_path, *arguments)
    monkeypatch.setattr("churn_pipeline.core.checkout.REPOSITORY", tmp_path)
    commit.cache_clear()
    yield tmp_path
    commit.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.com")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_commit_is_known_with_what_was_changed_since(checkout: Path) -> None:
    known = commit()
    assert known is not None
    assert (known.hash, known.is_changed) == (git(checkout, "rev-parse", "HEAD"), False)
    (checkout / "README").write_text("another file")
    commit.cache_clear()
    assert commit() == known
    (checkout / "churn_pipeline" / "__init__.py").write_text("changed")
    commit.cache_clear()
    assert commit() == replace(known, is_changed=True)


def test_a_package_that_is_installed_in_somebody_elses_repository_has_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(checkout, "rm", "--cached", "churn_pipeline/__init__.py")
    assert commit() is None
    commit.cache_clear()
    monkeypatch.setenv("PATH", str(checkout))
    assert commit() is None, "without git there is none either"


def asked_of(models: dict[Target, ScoringModel], row: pd.DataFrame, **changes: float | str | None) -> WhatIf:
    """What some models say of one row with other values, where what they say of it as it is was published."""
    own = {target.name: pd.Series(model.probability(row)) for target, model in models.items()}
    published = {t.probability_column: float(monotone(own)[0][t.name].iloc[0]) for t in models}
    known = {t.version_column: "1" for t in models} | {t.kind_column: model.kind for t, model in models.items()}
    of_customer = {"snapshot_date": MONDAY, "customer_id": row["customer_id"].iloc[0], "risk_tier": TIERS[-1].risk_tier}
    return what_if(of_customer | published | known, row, models, changes, asked=[*models], policy=TIERS, today={})


@pytest.mark.parametrize("kind", KINDS)
def test_a_what_if_of_every_kind_is_what_scoring_gives_to_the_bit_and_its_parts_add_up(
    results: dict[Kind, TrainingResult], frame: pd.DataFrame, kind: Kind
) -> None:
    model = results[kind].model
    wanted = {"health": -2.0, "mrr": None, "plan_tier": "starter"}
    changes = {name: value for name, value in wanted.items() if name in model.catalogue}
    # In a batch with everybody else, and by itself.
    expected = model.probability(frame.assign(**changes))
    for position in (0, 77, len(frame) - 1):
        answer = asked_of({model.target: model}, frame.iloc[[position]].reset_index(drop=True), **changes)
        (score,) = answer.scores
        assert score.before == model.probability(frame)[position]
        assert (score.after, score.model_kind) == (expected[position], kind)
        assert score.change == score.after - score.before
        assert sum(part.points for part in score.parts) == pytest.approx(score.change, abs=1e-4)
        assert [change.feature for change in answer.changes] == [*changes]
        assert answer.note == "What the model says, not what would happen: no cause."


def test_a_what_if_of_a_longer_horizon_is_raised_to_the_shorter_one_and_moves_the_tier(
    results: dict[Kind, TrainingResult], frame: pd.DataFrame
) -> None:
    base, trees = results["base_rate"].model, results["trees"].model
    level = replace(base.platt, intercept=base.platt.intercept + 1.5)
    models = {LONG: replace(base, target=LONG, platt=level), SHORT: trees}
    calm = frame.iloc[[trees.probability(frame).argmin()]].reset_index(drop=True)
    answer = asked_of(models, calm, health=-3.0)
    long, short = answer.scores
    assert short.after > models[LONG].probability(calm)[0] == long.before
    assert long.after == short.after
    (raised,) = (part for part in long.parts if part.part == "raise")
    assert (raised.points, raised.log_odds) == (pytest.approx(long.change), None)
    assert (answer.risk_tier, answer.new_risk_tier) == ("calm", "grave")


def test_a_what_if_of_what_is_not_the_published_prediction_is_refused(
    results: dict[Kind, TrainingResult], frame: pd.DataFrame
) -> None:
    model, row = results["trees"].model, frame.iloc[[0]]
    published = np.nextafter(model.probability(row)[0], 1.0)
    said = {
        SHORT.probability_column: published,
        SHORT.version_column: "3",
        "customer_id": "c1",
        "snapshot_date": MONDAY,
    }
    with pytest.raises(
        RefusedError, match=r"churn_30d version 3 gives .* and the table says .*'churn run --week 2026-03-16'"
    ):
        what_if(said, row, {SHORT: model}, {"health": 1.0}, asked=[SHORT], policy=TIERS, today={})


def test_a_word_that_training_never_saw_and_what_moves_along_are_said(
    results: dict[Kind, TrainingResult], frame: pd.DataFrame
) -> None:
    model = results["trees"].model
    answer = asked_of({SHORT: model}, frame.iloc[[5]].reset_index(drop=True), industry="mining")
    assert (
        answer.changes[0].note
        == "the training of churn_30d never saw 'mining', so it is taken as unknown; known are retail, saas"
    )
    unknown = asked_of({SHORT: model}, frame.iloc[[5]].reset_index(drop=True), industry=None)
    assert answer.scores == unknown.scores
    assert unknown.changes[0].note is None
    kin = replace(CATALOGUE["days_since_last_event"], fact="health")
    features = tuple(kin if feature.name == kin.name else feature for feature in model.catalogue)
    related = replace(model, encoder=replace(model.encoder, catalogue=replace(model.catalogue, features=features)))
    answer = asked_of({SHORT: related}, frame.iloc[[5]].reset_index(drop=True), health=0.5)
    assert answer.notices == ("Of what moves together only health was changed; days_since_last_event stays as it is.",)
