from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from data.config import DataConfig
from data.prepared import PreparedData, open_prepared
from experiments.__main__ import app
from experiments.errors import ExperimentError
from experiments.preparation import prepared_folder
from experiments.records import FAILED, FINISHED, RunRecord
from experiments.scaling import Point, draw_scaling, results, run_study
from experiments.scaling.study import points


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


def test_where_it_stops_paying_is_said(runs: list[tuple[Point, RunRecord]]) -> None:
    found = results(runs)
    assert found.sentences() == [
        "elephas stops paying at 4 workers: the last ones add 8% of what they cost.",
        "elephas takes less time than keras_local from 2,000 images on.",
    ]
    assert found.failures == ("elephas, seed 0, 8 workers: it broke",)


def test_curves_are_drawn(runs: list[tuple[Point, RunRecord]], tmp_path: Path) -> None:
    written = draw_scaling(results(runs), tmp_path)
    assert [path.name for path in written] == ["workers.png", "images.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


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


def test_nothing_to_scale_is_said() -> None:
    result = CliRunner().invoke(app, ["scale"])
    assert (result.exit_code, "give --workers 1" in result.stderr) == (2, True)


def test_what_a_study_varies_cannot_be_set_beside_it(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="'workers' is what the study varies"):
        run_study(
            "synthetic", ["majority"], points([1], []), overrides={"workers": 2}, work=tmp_path
        )
