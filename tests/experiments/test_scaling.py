import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from data.config import DataConfig
from data.errors import DataError
from data.prepared import PreparedData, open_prepared
from data.row_order import thin_training
from experiments.__main__ import app
from experiments.errors import ExperimentError
from experiments.observer import Observer
from experiments.records import FAILED, FINISHED, RunRecord
from experiments.runs.preparation import prepared_folder
from experiments.scaling import Point, draw_scaling, results, run_study
from experiments.scaling.study import points
from experiments.scaling.tables import terminal


def record(backend: str, workers: int, fit: float, total: float, status: str) -> RunRecord:
    return RunRecord(
        experiment="x",
        backend=backend,
        seed=0,
        workers=workers,
        run_id="x",
        tracking_uri="",
        status=status,
        reason="it broke" if status == FAILED else "",
        metrics={"time.fit_s": fit, "time.total_s": total, "test.f1": 0.9},
    )


@pytest.fixture
def runs() -> list[tuple[Point, RunRecord]]:
    by_workers = [
        (Point(workers=count), record("elephas", count, fit, fit + 10, FINISHED))
        for count, fit in ((1, 60.0), (2, 40.0), (4, 36.0))
    ]
    by_images = [
        (Point(images=count), record(backend, 2, 1.0, total, FINISHED))
        for backend, totals in (("keras_local", (5.0, 50.0)), ("elephas", (20.0, 40.0)))
        for count, total in zip((200, 2000), totals, strict=True)
    ]
    failed = (Point(workers=8), record("elephas", 8, 1.0, 1.0, FAILED))
    return [*by_workers, *by_images, failed]


def test_speed_up_efficiency_and_cost(runs: list[tuple[Point, RunRecord]]) -> None:
    table = results(runs).workers
    assert table["speed_up"].tolist() == pytest.approx([1, 1.5, 60 / 36])
    assert table["efficiency"].tolist() == pytest.approx([1, 0.75, 60 / 36 / 4])
    assert table["marginal"].tolist()[1:] == pytest.approx([0.5, (60 / 36 - 1.5) / 2])
    assert table["core_seconds"].tolist() == pytest.approx([70, 100, 184])


def study(backend: str, size: str, times: dict[int, list[float]]) -> list[tuple[Point, RunRecord]]:
    """Return runs whose fit takes ``times`` seconds by size, one for each seed."""
    return [
        (Point(**{size: value}), record(backend, 2, seconds, seconds + 5, FINISHED))
        for value, all_seconds in times.items()
        for seconds in all_seconds
    ]


@pytest.mark.parametrize(
    "times",
    [{1: [60.0], 2: [40.0], 4: [36.0]}, {1: [6.0, 6.1, 6.2], 2: [4.0, 4.1, 4.2]}],
    ids=["one seed", "short fits"],
)
def test_nothing_is_concluded_from_too_little(times: dict[int, list[float]]) -> None:
    (sentence,) = results(study("elephas", "workers", times)).sentences()
    assert sentence.startswith(
        "elephas: no conclusion about workers: this requires 3 seeds or more (--seed 0 --seed 1 "
        "--seed 2) and fits of 10 s or more; here "
    )


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (
            {1: [60, 61, 59], 2: [32, 31, 33], 4: [29, 30, 31]},
            "elephas: adding workers stops helping at 2: from 2 to 4 workers fit is 1.07 times as "
            "fast (95 % interval over seeds 0.99 to 1.15; 2 is ideal), less than half",
        ),
        ({1: [60, 61, 59], 2: [32, 31, 33]}, "elephas: adding workers helps up to 2, the largest"),
        (
            {1: [60, 61, 59], 2: [25, 40, 60]},
            "elephas: it is not shown whether adding workers to 1 helps",
        ),
    ],
)
def test_workers_that_stop_helping_are_said_with_their_interval(
    times: dict[int, list[float]], said: str
) -> None:
    (sentence,) = results(study("elephas", "workers", times)).sentences()
    assert sentence.startswith(said)


def test_backends_are_set_beside_one_process_at_each_size() -> None:
    runs = study("keras_local", "images", {200: [2, 2, 2.1], 900: [30, 31, 32], 2000: [70, 71, 72]})
    runs += study("elephas", "images", {200: [9, 9.5, 9], 900: [30, 33, 29], 2000: [40, 41, 42]})
    short, same, quicker = results(runs).sentences()
    assert short.startswith("elephas: no conclusion about 200 images: this requires 3 seeds")
    assert "a run of 900 images does not differ significantly in time from" in same
    assert "a run of 2,000 images takes less time than keras_local (0.61 times, 95 %" in quicker


def test_failures_are_listed(runs: list[tuple[Point, RunRecord]]) -> None:
    assert results(runs).failures == ("elephas, seed 0, 8 workers: it broke",)


def test_curves_are_drawn(runs: list[tuple[Point, RunRecord]], tmp_path: Path) -> None:
    written = draw_scaling(results(runs), tmp_path)
    assert [path.name for path in written] == ["workers.png", "images.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


@pytest.mark.slow
def test_images_are_fewer_in_training_alone(
    data_config: DataConfig, prepared: PreparedData, work: Path, tracking_uri: str
) -> None:
    overrides = {
        "name": "scaled",
        "data": data_config.model_dump(mode="json"),
        "batch_size": 16,
        "tracking_uri": tracking_uri,
    }
    sizes = (40, 80)
    study = run_study("synthetic", ["majority"], points([], sizes), overrides=overrides, work=work)
    assert [(point.images, one.status) for point, one in study] == [(n, FINISHED) for n in sizes]
    whole = pd.Series(prepared.index("train").column("patient_id").to_pylist()).value_counts()
    for size in sizes:
        split = data_config.split.model_copy(update={"train_images": size})
        config = data_config.model_copy(update={"split": split})
        data = open_prepared(prepared_folder(config, str(work / "data")))
        assert data.rows("train") == size
        assert data.summary.split_checksum == prepared.summary.split_checksum
        for part in ("validation", "test"):
            assert data.index(part).equals(prepared.index(part))
        kept = pd.Series(data.index("train").column("patient_id").to_pylist()).value_counts()
        fair = whole * size / whole.sum()
        assert (kept.reindex(whole.index) - fair).abs().max() < 1, "patients keep their shares"


def test_all_runs_of_a_study_are_counted_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int | None]] = []

    class Counting(Observer):
        def study_starts(self, runs: Sequence[tuple[str, int | None]]) -> None:
            told.extend(runs)

    monkeypatch.setattr("experiments.runs.runner.run_experiment", lambda *_, **__: [])
    values: dict[str, Any] = {
        "overrides": {"seeds": [0, 1]},
        "work": tmp_path,
        "observer": Counting(),
    }
    run_study("synthetic", ["majority", "elephas"], points([2], [40]), **values)
    names = [("majority", size) for size in (None, None, 40, 40)]
    assert sorted(told, key=str) == sorted([*names, *(("elephas", n) for _, n in names)], key=str)
    with pytest.raises(ExperimentError, match="divided equally among 3"):
        run_study("synthetic", ["majority"], points([1, 3], []), **values)
    assert len(told) == 8, "a point that cannot be is refused before anything starts"


def test_tables_of_a_study_fit_80_columns() -> None:
    name = "spark_tensorflow_distributor"
    runs = study(name, "workers", {1: [1234.5], 16: [123.4]}) + study(name, "images", {9999: [9]})
    found = results(runs)
    for means, size in ((found.workers, "workers"), (found.images, "images")):
        text = io.StringIO()
        Console(file=text, width=80).print(terminal(means, size))
        lines = text.getvalue().splitlines()
        assert max(map(len, lines)) <= 80
        assert "…" not in text.getvalue()
        assert all(part in text.getvalue() for part in name.split("_"))
        assert ("speed-up" in text.getvalue()) == (size == "workers")


def test_too_few_images_are_said_to_leave_a_class_out(prepared: PreparedData) -> None:
    rows = pa.concat_tables(prepared.index(split) for split in ("train", "test"))
    with pytest.raises(DataError, match=r"none of the 1 requested .*\(--images.* class '.*more"):
        thin_training(rows, 1)
    with pytest.raises(DataError, match="5,000 training images are requested"):
        thin_training(rows, 5000)
    kept = thin_training(rows, 20).column("split").to_pylist()
    assert kept.count("train") == 20


def test_nothing_to_scale_is_said() -> None:
    result = CliRunner().invoke(app, ["scale"])
    assert (result.exit_code, "give --workers 1" in result.stderr) == (2, True)


def test_what_a_study_varies_cannot_be_set_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="the study varies 'workers'"):
        run_study(
            "synthetic", ["majority"], points([1], []), overrides={"workers": 2}, work=tmp_path
        )
