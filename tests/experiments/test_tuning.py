"""Hyperparameter search: the search space, the selection, and resumption after interruptions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from backends import create
from backends.search import Choices, Range
from data.config import DataConfig
from data.prepared import PreparedData
from experiments.errors import ExperimentError
from experiments.loading import load
from experiments.records import FINISHED, KILLED
from experiments.tracking.recorder import PARENT
from experiments.tuning import Search, run_search, write_results
from experiments.tuning.own_settings import gain
from experiments.tuning.search import Found
from experiments.tuning.space import default_space, parse_space
from experiments.tuning.storage import PARENT_RUN, check_study_file, open_study

TUNABLE = "tests.experiments.misbehaving:Tunable"
SPACE = {"optimizer.learning_rate": Range(1e-4, 1.0, log=True)}


@pytest.fixture
def search(data_config: DataConfig, work: Path, tracking_uri: str) -> Callable[..., Found]:
    def make(name: str, *, resume: bool = False, on_trial: Any = None, **values: Any) -> Found:
        overrides = {
            "name": name,
            "data": data_config.model_dump(mode="json"),
            "epochs": 3,
            "batch_size": 16,
            "tracking_uri": tracking_uri,
            **values.pop("overrides", {}),
        }
        asked = {"backend": TUNABLE, "trials": 3, "space": SPACE, **values}
        return run_search(
            Search(source="synthetic", overrides=overrides, **asked),
            work=work,
            resume=resume,
            on_trial=on_trial or (lambda _: None),
        )

    return make


def trials(found: Found) -> list[Any]:
    client = MlflowClient(found.prepared.recorder.uri)
    experiment = found.prepared.recorder.experiment_id
    return list(client.search_runs([experiment], f"tags.`{PARENT}` = '{found.run_id}'"))


@pytest.mark.slow
def test_best_trial_is_the_best_of_the_validation_images(
    search: Callable[..., Found],
    prepared: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = search("tuned", trials=4, prune=False)
    runs = trials(found)
    assert [run.info.status for run in runs] == [FINISHED] * 4
    scores = {run.info.run_id: run.data.metrics["validation.f1"] for run in runs}
    assert len(set(scores.values())) > 1
    best = found.study.best_trial
    assert best.value == scores[best.user_attrs["mlflow_run"]] == max(scores.values())
    own = found.study.trials[0]
    before = found.search.experiment({}).optimizer.learning_rate
    assert own.params == {"optimizer.learning_rate": before}
    sentence = gain(found.study, "f1")
    assert f"(trial 0): f1 {best.value:.4f} instead of {own.value:.4f}" in sentence or (
        sentence.startswith("no trial is better") and best.value == own.value
    )
    write_results(found, tmp_path)
    monkeypatch.chdir(tmp_path)
    stored = load("best.yaml")
    assert stored.name == "tuned-tuned"
    assert stored.optimizer.learning_rate == best.params["optimizer.learning_rate"]
    assert stored.data.source == found.search.overrides["data"]["source"]
    table = pd.read_csv(tmp_path / "trials.csv")
    assert table["f1"].max() == pytest.approx(best.value)
    kept = MlflowClient(found.prepared.recorder.uri).list_artifacts(found.run_id, "tuning")
    assert {"tuning/best.yaml", "tuning/history.png"} <= {item.path for item in kept}


@pytest.mark.slow
def test_no_trial_reads_a_test_image(
    search: Callable[..., Found], prepared: PreparedData, tracking_uri: str, tmp_path: Path
) -> None:
    (run,) = trials(search("unread", trials=1))
    assert not any(name.startswith(("test.", "patient")) for name in run.data.metrics)
    assert run.data.params["judged"] == "validation"
    path = download_artifacts(
        run_id=run.info.run_id,
        artifact_path="predictions.parquet",
        tracking_uri=tracking_uri,
        dst_path=str(tmp_path),
    )
    predicted = pd.read_parquet(path)
    expected = prepared.index("validation").column("image_id").to_pylist()
    assert predicted["image_id"].tolist() == expected
    view = prepared.without_test()
    assert not set(view.index("test").column("image_id").to_pylist()) & set(
        prepared.index("test").column("image_id").to_pylist()
    )


@pytest.mark.slow
def test_trial_that_falls_behind_is_pruned(search: Callable[..., Found]) -> None:
    lead = [0.01, 0.012, 0.009, 0.011]

    space = {"optimizer.learning_rate": Choices((*lead, 1.0))}
    found = search("pruned", trials=10, space=space)
    pruned = [trial for trial in found.study.trials if trial.state.name == "PRUNED"]
    assert pruned
    assert all(trial.params["optimizer.learning_rate"] != 0.01 for trial in pruned)
    ended = {run.info.run_id: run for run in trials(found)}[pruned[0].user_attrs["mlflow_run"]]
    assert ended.info.status == KILLED
    assert ended.data.tags["status_reason"].startswith("pruned after epoch 2")
    assert "validation.loss" in ended.data.metrics


@pytest.mark.slow
def test_refused_settings_cost_no_trial(search: Callable[..., Found]) -> None:
    space = {"batch_size": Choices((32, 64)), "optimizer.learning_rate": Range(1e-3, 1e-1)}
    found = search("refused", trials=4, space=space, overrides={"batch_size": 64})
    refused = [trial for trial in found.study.trials if trial.user_attrs["refused"]]
    assert len(found.study.trials) == 4 + len(refused)
    assert {trial.params["batch_size"] for trial in refused} <= {32}
    assert {t.params["batch_size"] for t in found.study.trials if t not in refused} == {64}


@pytest.mark.slow
def test_nothing_but_refusals_end_the_search(search: Callable[..., Found]) -> None:
    with pytest.raises(ExperimentError, match=r"too many of the proposed .* no batch of 32"):
        search("only-refused", trials=2, space={"batch_size": Choices((32,))})


@pytest.mark.slow
def test_several_trials_at_a_time(search: Callable[..., Found]) -> None:
    runs = trials(search("together", trials=4, jobs=4, prune=False))
    assert len(runs) == 4
    latest_start = max(run.info.start_time for run in runs)
    assert latest_start < min(run.info.end_time for run in runs)


@pytest.mark.slow
def test_interrupted_search_goes_on_where_it_was(
    search: Callable[..., Found], work: Path, tracking_uri: str
) -> None:
    def interrupt(trial: Any) -> None:
        if trial.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search("resumed", on_trial=interrupt)
    with pytest.raises(ExperimentError, match="resume it with --resume, or name another"):
        search("resumed")
    found = search("resumed", trials=4, resume=True)
    assert len([t for t in found.study.trials if t.state.name in ("COMPLETE", "PRUNED")]) == 4
    assert {run.info.status for run in trials(found)} <= {FINISHED, KILLED}
    parent = MlflowClient(tracking_uri).get_run(found.run_id)
    assert parent.info.status == FINISHED
    with pytest.raises(ExperimentError, match="has other data, settings or values"):
        search("resumed", resume=True, overrides={"epochs": 2})


@pytest.mark.slow
def test_trial_cut_off_without_warning_is_made_again(search: Callable[..., Found]) -> None:
    found = search("cut-off", trials=1)
    lost = found.study.ask()
    lost.suggest_float("optimizer.learning_rate", 1e-4, 1.0, log=True)
    left = found.prepared.recorder.open("trial-1", {}, {}, found.run_id)
    again = search("cut-off", trials=2, resume=True)
    states = [trial.state.name for trial in again.study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    assert again.study.trials[2].params == again.study.trials[1].params
    (killed,) = [run for run in trials(again) if run.info.run_id == left]
    assert killed.info.status == KILLED


@pytest.mark.parametrize(
    ("backend", "own"),
    [
        ("keras_local", set()),
        ("elephas", {"mode", "frequency"}),
        ("bigdl", {"exchange"}),
        ("pandas_udf", {"reg_param", "elastic_net"}),
    ],
)
def test_default_space_holds_what_a_backend_knows(backend: str, own: set[str]) -> None:
    experiment = load("synthetic", {"workers": 3, "batch_size": 48})
    space = default_space(experiment, create(backend))
    assert {key for key in space if key.startswith("backend_options.")} == {
        f"backend_options.{backend}.{name}" for name in own
    }
    assert ("optimizer.learning_rate" in space) == (backend != "pandas_udf")
    options = {key.rpartition(".")[2]: space[key] for key in space if key.startswith("backend_")}
    for name, values in options.items():
        for value in values.values if isinstance(values, Choices) else (values.low, values.high):
            create(backend).options(**{name: value})


def test_backend_with_nothing_to_vary_says_so() -> None:
    with pytest.raises(ExperimentError, match="majority has no settings"):
        default_space(load("synthetic"), create("majority"))


def test_space_is_read_from_words() -> None:
    assert parse_space(
        [
            "optimizer.learning_rate=log:1e-4..0.1",
            "epochs=2..8",
            "batch_size=[32, 64]",
            "model.augmentation=[true, false]",
        ]
    ) == {
        "optimizer.learning_rate": Range(1e-4, 0.1, log=True),
        "epochs": Range(2, 8),
        "batch_size": Choices((32, 64)),
        "model.augmentation": Choices((True, False)),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs", "write KEY=LOW..HIGH"),
        ("epochs=5", "is neither a range LOW..HIGH nor a list"),
        ("epochs=8..2", "must be increasing"),
        ("optimizer.learning_rate=log:0..1", "positive and increasing"),
        ("optimizer.learning_rate=a..b", "not a range of numbers"),
        ("batch_size=[[1], [2]]", "a list may contain only numbers, words"),
        ("data.split.seed=[1, 2]", "can vary only training settings"),
        ("seeds=[1, 2]", "can vary only training settings"),
    ],
)
def test_wrong_space_is_refused(text: str, words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        parse_space([text])


def test_objective_must_be_known(search: Callable[..., Found]) -> None:
    with pytest.raises(ExperimentError, match=r"unknown objective 'luck' .*f1"):
        search("luck", objective="luck")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs=0..3", "--search epochs must be 1 or more, not 0"),
        ("optimizer.name=[adam, foo]", "--search optimizer.name must be 'adam', 'sgd', "),
        ("optimizer.lr=[1, 2]", "--search optimizer.lr: there is no key 'optimizer.lr'"),
        ("batch_size=[32, 33]", "batch_size 33 cannot be divided equally"),
        ("backend_options.elephas.mode=[synchronous, foo]", "backend_options.elephas.mode: "),
    ],
)
def test_value_of_a_search_that_cannot_be_is_refused_before_data_is_prepared(
    text: str, message: str, tmp_path: Path
) -> None:
    asked = Search(
        backend="elephas", source="synthetic", overrides={}, trials=1, space=parse_space([text])
    )
    with pytest.raises(ExperimentError) as error:
        run_search(asked, work=tmp_path)
    assert str(error.value).startswith(message)
    assert not [*tmp_path.iterdir()]


def test_key_that_is_searched_twice_is_refused() -> None:
    with pytest.raises(ExperimentError, match="--search epochs is given twice"):
        parse_space(["epochs=1..2", "epochs=[4, 5]"])


def opened(path: Path, *, resume: bool = False) -> Any:
    return open_study(
        path,
        "mine",
        "key",
        "maximize",
        seed=0,
        prune=False,
        jobs=1,
        resume=resume,
        open_record=lambda: "run",
    )


def test_study_whose_making_was_stopped_is_made_anew(tmp_path: Path) -> None:
    import optuna

    path = tmp_path / "tuning.db"
    optuna.create_study(storage=f"sqlite:///{path}", study_name="mine", direction="minimize")
    made = opened(path)
    assert (made.user_attrs, made.direction.name) == ({"key": "key", PARENT_RUN: "run"}, "MAXIMIZE")
    with pytest.raises(ExperimentError, match="resume it with --resume"):
        opened(path)
    assert opened(path, resume=True).user_attrs[PARENT_RUN] == "run"
    assert [p.name for p in tmp_path.iterdir()] == ["tuning.db"]


def test_file_that_holds_no_studies_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "tuning.db").write_text("notes\n" * 1000)
    with pytest.raises(ExperimentError, match=r"tuning\.db is not an SQLite database"):
        check_study_file(tmp_path / "tuning.db")
