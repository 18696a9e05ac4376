"""Comparison of records: results equal those of scikit-learn and SciPy, and incomparable runs are
not compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.metrics import f1_score
from typer.testing import CliRunner

import experiments
from experiments import comparison
from experiments.__main__ import app
from experiments.comparison import tables
from experiments.comparison.charts_time import front
from experiments.comparison.hard_cases import hard_cases
from experiments.comparison.leak_audit import leak_audit
from experiments.comparison.report import write_report
from experiments.comparison.runs import ComparedRun
from experiments.comparison.statistics import f1_over_units
from experiments.errors import ExperimentError
from experiments.records import RunRecord, RunRecords
from tests.experiments.conftest import Run
from tests.experiments.made_up import made_up_groups

NAME = "compared"


@pytest.fixture(scope="module")
def records(run: Run) -> list[RunRecord]:
    return run(
        "keras_local",
        "majority",
        "tests.experiments.misbehaving:Refusing",
        name=NAME,
        seeds=[0, 1],
        optimizer={"name": "adam", "learning_rate": 0.003},
    )


@pytest.fixture
def found(records: list[RunRecord], tracking_uri: str, tmp_path: Path) -> list[ComparedRun]:
    assert records
    return comparison.find_runs([tracking_uri], tmp_path / "artifacts", [NAME])


@pytest.fixture
def groups() -> dict[str, list[ComparedRun]]:
    return made_up_groups()


@pytest.mark.slow
def test_f1_and_spread_are_those_of_scikit_learn(
    found: list[ComparedRun], records: list[RunRecord], tmp_path: Path
) -> None:
    findings = comparison.compare(found)
    row = findings.rows[0]
    assert (row.label, len(row.runs)) == ("keras_local", 2)
    single = []
    for record in (one for one in records if one.backend == "keras_local"):
        path = MlflowClient(record.tracking_uri).download_artifacts(
            record.run_id, "predictions.parquet", str(tmp_path)
        )
        frame = pd.read_parquet(path)
        guess = frame["probability_all"] > frame["probability_hem"]
        single.append(f1_score(frame["label"] == 0, guess))
    assert row.f1.value == pytest.approx(np.mean(single))
    assert row.spread("test.f1") == pytest.approx(np.std(single, ddof=1))
    assert row.f1.low <= row.f1.value <= row.f1.high


@pytest.mark.slow
def test_what_is_not_comparable_is_left_out_with_its_reason(found: list[ComparedRun]) -> None:
    plain = next(run for run in found if run.record.backend == "majority")
    other_split = replace(
        plain,
        record=plain.record.model_copy(
            update={"tags": {**plain.record.tags, "split.checksum": "another"}}
        ),
    )
    longer = replace(plain, params={**plain.params, "epochs": "9"})
    strange = next(run for run in found if run.record.backend == "keras_local")
    strange = replace(
        strange,
        record=strange.record.model_copy(
            update={
                "backend": "stranger",
                "tags": {**strange.record.tags, "initial_weights.checksum": "another"},
            }
        ),
    )
    findings = comparison.compare([other_split, longer, strange, *found])
    reasons = [one.reason for one in findings.excluded]
    assert "not comparable: different split of the patients" in reasons
    assert "not comparable: epochs 9 instead of 1" in reasons
    differ = "initial weights differ from those of keras_local with the same seed"
    assert f"not comparable: {differ}" in reasons
    assert reasons.count("refused: it is Saturday") == 2
    assert {row.label for row in findings.rows} == {"keras_local", "majority"}


@pytest.mark.slow
def test_another_unit_of_the_split_is_not_comparable(found: list[ComparedRun]) -> None:
    """Records without the tag are by patient, or by image if their split contains it."""
    plain = next(run for run in found if run.record.backend == "majority")
    assert plain.record.tags["split.unit"] == "patient"
    old = {key: value for key, value in plain.record.tags.items() if key != "split.unit"}
    before = replace(plain, record=plain.record.model_copy(update={"tags": old}))
    by_image = replace(before, params={**plain.params, "data.split.by": "image"})
    lesions = replace(
        plain,
        record=plain.record.model_copy(update={"tags": {**old, "split.unit": "lesion"}}),
    )
    assert [run.unit for run in (before, by_image, lesions)] == ["patient", "image", "lesion"]
    reasons = [
        one.reason for one in comparison.compare([*found, before, by_image, lesions]).excluded
    ]
    assert "not comparable: split by image instead of by patient" in reasons
    assert "not comparable: split by lesion instead of by patient" in reasons
    assert not any("different split" in reason for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["lesion", "image"])
def test_report_speaks_of_the_unit_of_the_split(
    found: list[ComparedRun], tmp_path: Path, unit: str
) -> None:
    changed = []
    for run in found:
        if run.finished:
            tags = {**run.record.tags, "split.unit": unit, "synthetic": "false"}
            other = replace(run, record=run.record.model_copy(update={"tags": tags}))
            # All images are distinct, so each one is its own group.
            frame = run.predictions.assign(group=run.predictions["image_id"])
            other.__dict__["predictions"] = frame
            changed.append(other)
    findings = comparison.compare(changed)
    images = len(changed[0].predictions)
    page = write_report(findings, tmp_path / "report").read_text()
    text = f"{page} {tables.terminal(findings).title} {tables.terminal(findings).caption}"
    assert "patient" not in text.lower()
    tested = images if unit == "image" else changed[0].predictions["patient_id"].nunique()
    distinct = " distinct" if unit == "image" else ""
    assert findings.sample == f"{tested} unseen{distinct} test {unit}s"
    assert f"{findings.sample};" in page
    caption = f"F1 over unseen {unit}s. The interval accounts for variation among {unit}s and seeds"
    assert caption in page
    heading = "Images" if unit == "image" else "Lesions with images"
    assert f'<h2 id="hard">{heading} misclassified by every run</h2>' in page
    if unit == "image":
        assert all(one.images == 1 for one in hard_cases(findings))


@pytest.mark.slow
def test_network_that_predicts_one_class_is_named(found: list[ComparedRun]) -> None:
    first = next(r for r in found if (r.record.backend, r.record.seed) == ("keras_local", 1))
    blind = replace(first)
    frame = first.predictions
    blind.__dict__["predictions"] = frame.assign(probability_all=0.4, probability_hem=0.6)
    notes = comparison.compare([blind if run is first else run for run in found]).notes
    assert any(
        note.startswith("keras_local predicts one class for all test images with seed")
        and "1; that F1" in note
        for note in notes
    )
    assert not any(note.startswith("majority predicts") for note in notes)
    assert any(note.startswith("Fewer than 10 test images or 10 test patients") for note in notes)


@pytest.mark.slow
def test_networks_that_a_simple_method_exceeds_are_named(found: list[ComparedRun]) -> None:
    """The runs of keras_local appear as those of gradient_boosting and, worse, as their own."""
    networks = [run for run in found if run.finished and run.record.backend == "keras_local"]
    simple, worse = [], []
    for run in networks:
        record = run.record.model_copy(update={"backend": "gradient_boosting"})
        simple.append(replace(run, record=record))
        wrong = replace(run)
        columns = {"probability_all": 0.4, "probability_hem": 0.6}
        wrong.__dict__["predictions"] = run.predictions.assign(**columns)
        worse.append(wrong)
    notes = comparison.compare([*simple, *worse]).notes
    (note,) = [note for note in notes if "trains no network" in note]
    assert note.startswith("gradient_boosting, which trains no network, has a higher F1 (")
    assert ") than keras_local (" in note
    notes = comparison.compare([*simple, *networks]).notes
    assert not [note for note in notes if "trains no network" in note]


@pytest.mark.slow
def test_seconds_of_a_part_are_no_seconds_of_a_run(found: list[ComparedRun]) -> None:
    """A resumed run keeps its scores but has no total time."""
    first = next(r for r in found if (r.record.backend, r.record.seed) == ("keras_local", 0))
    metrics = {**first.record.metrics, "time.total_s": 1e6}
    tags = {**first.record.tags, "resumed_after_epoch": "3"}
    record = first.record.model_copy(update={"metrics": metrics, "tags": tags})
    resumed = [replace(run, record=record) if run is first else run for run in found]
    findings, plain = comparison.compare(resumed), comparison.compare(found)
    row, before = findings.rows[0], plain.rows[0]
    assert (row.label, len(row.runs)) == ("keras_local", 2)
    assert row.f1 == before.f1
    assert row.mean("time.total_s") == before.values("time.total_s")[1]
    assert row.mean("time.fit_s") == before.mean("time.fit_s")
    assert any("seed 0, was resumed after epoch 3" in note for note in findings.notes)


@pytest.mark.slow
def test_seconds_of_other_cores_are_marked(found: list[ComparedRun]) -> None:
    moved = [
        replace(run, params={**run.params, "workers": "8", "platform": "emr"})
        if run.record.backend == "majority"
        else run
        for run in found
    ]
    findings = comparison.compare(moved)
    assert [row.label for row in findings.rows] == ["keras_local", "majority (emr)"]
    assert any("cores 8 instead of 2, platform emr instead of here" in n for n in findings.notes)


@pytest.mark.slow
def test_interval_is_that_of_drawing_patients(groups: dict[str, list[ComparedRun]]) -> None:
    """Compared with a bootstrap that copies the drawn patients' images and uses scikit-learn."""
    interval, generator, means = f1_over_units(groups["one"]), np.random.default_rng(5), []
    tables = [
        [images for _, images in run.predictions.groupby("patient_id")] for run in groups["one"]
    ]
    for _ in range(300):
        drawn = generator.integers(0, 30, 30)
        samples = [pd.concat([images[number] for number in drawn]) for images in tables]
        means.append(np.mean([f1_score(s["label"], s["probability_sick"] > 0.5) for s in samples]))
    # The bounds of an interval from 300 resamples vary by about 0.006.
    np.testing.assert_allclose(
        [interval.low, interval.high], np.quantile(means, [0.025, 0.975]), atol=0.02
    )


def test_front_keeps_what_nothing_beats_in_both() -> None:
    assert front([(3, 0.9), (1, 0.7), (2, 0.6), (4, 0.9)]) == [(1, 0.7), (3, 0.9)]


@pytest.mark.slow
def test_words_are_about_networks_and_means_where_no_more_is_known(
    found: list[ComparedRun], tmp_path: Path
) -> None:
    """The small set has three test patients; with one seed no claim is made about backends."""
    single = comparison.compare([run for run in found if run.record.seed == 0])
    assert single.groups < 8
    assert any("intervals and p values are not reliable with" in note for note in single.notes)
    assert any("these trained networks, not the backends" in note for note in single.notes)
    assert all(text.startswith("These two trained networks") for text in single.sentences)
    page = write_report(single, tmp_path / "report").read_text()
    assert "F1 (95 %, not reliable)" in page
    assert "Pareto-optimal by these means" in page
    assert "Beaten" not in page
    several = comparison.compare(found)
    assert not any("trained networks" in text for text in (*several.sentences, *several.notes))


@pytest.mark.slow
def test_report_needs_no_other_file_and_has_every_number(
    found: list[ComparedRun], tmp_path: Path
) -> None:
    findings = comparison.compare(found)
    path = write_report(findings, tmp_path / "report")
    page = path.read_text()
    assert page.count("<svg") == 8
    assert "http" not in page.replace("http://www.w3.org", "")
    assert 'src="data:image/png;base64' in page
    assert "SYNTHETIC" in page
    shown = pd.concat([tables.main(findings), tables.against(findings)], axis="columns")
    for cell in shown.to_numpy().ravel():
        assert cell.replace("<", "&lt;") in page
    assert "it is Saturday" in page
    written = {item.name for item in path.parent.iterdir()}
    assert {"table.md", "table.tex", "runs.csv", "f1.svg", "resources.svg"} <= written
    runs = pd.read_csv(path.parent / "runs.csv")
    assert len(runs) == 6
    assert runs["left_out_because"].notna().sum() == 2
    tex = (path.parent / "table.tex").read_text()
    assert r"keras\_local" in tex
    assert "±" not in tex


@pytest.mark.slow
def test_comparison_in_python_is_that_of_the_command(
    records: list[RunRecord], found: list[ComparedRun]
) -> None:
    findings = comparison.compare(found)
    made = experiments.compare(records)
    pd.testing.assert_frame_equal(made.table, tables.main(findings))
    assert len(made.runs) == len(records) == 6
    assert made.recommendation.headline in str(made)
    shown = made._repr_html_()
    assert made.recommendation.headline in shown
    assert shown.count("<svg") == 3
    table = RunRecords(records).to_pandas()
    scores = table.set_index(["backend", "seed"])["test.f1"]
    for record in records:
        if record.status == "FINISHED":
            assert scores[record.backend, record.seed] == record.metrics["test.f1"]
    listed = RunRecords(records)._repr_html_()
    assert listed.count("<tr") == 7
    assert "it is Saturday" in listed


def test_nothing_in_mlflow_is_no_comparison() -> None:
    with pytest.raises(ExperimentError, match="there is nothing to compare"):
        experiments.compare([])
    assert list(RunRecords().to_pandas().columns)[:2] == ["experiment", "backend"]


@pytest.mark.slow
def test_hard_patients_are_those_that_all_get_wrong(found: list[ComparedRun]) -> None:
    findings = comparison.compare(found)
    trained = [run for run in found if run.record.backend == "keras_local"]
    wrong = set.intersection(
        *(
            set(
                frame.loc[
                    (frame["probability_all"] > frame["probability_hem"]) != (frame["label"] == 0),
                    "image_id",
                ]
            )
            for frame in (run.predictions for run in trained)
        )
    )
    hard = hard_cases(findings)
    assert wrong
    assert sum(one.wrong for one in hard) <= len(wrong)
    assert all(picture.png.startswith(b"\x89PNG") for one in hard for picture in one.pictures)
    assert all(len(one.pictures) == min(one.wrong, 6) for one in hard)


@pytest.mark.slow
def test_leak_audit_sets_both_splits_side_by_side(
    run: Run, records: list[RunRecord], tracking_uri: str, tmp_path: Path
) -> None:
    (leaking,) = run(
        "keras_local",
        name=NAME,
        optimizer={"name": "adam", "learning_rate": 0.003},
        **{"data.split.by": "image"},
    )
    ids = [record.run_id for record in records]
    both = comparison.find_runs([tracking_uri], tmp_path, ids=[*ids, leaking.run_id])
    (leak,) = leak_audit(comparison.compare(both))
    assert leak.label == "keras_local"
    assert leak.by_image.value == pytest.approx(leaking.metrics["test.f1"])
    assert leak.gained == leak.by_image.value - leak.by_unit.value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tracking-uri", "sqlite:///nowhere.db"], "there is no record sqlite:///nowhere.db"),
        (["--tracking-uri", "http://127.0.0.1:9"], "does not answer"),
        (["--experiment", "unheard"], "no runs of unheard"),
        (["--run", "0123"], "no runs of 0123"),
    ],
)
def test_bad_requests_are_answered_in_a_line(
    tracking_uri: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    store = [] if "--tracking-uri" in arguments else ["--tracking-uri", tracking_uri]
    result = CliRunner().invoke(app, ["compare", *arguments, *store, "--output", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.slow
def test_only_failures_are_no_comparison(run: Run, tracking_uri: str, tmp_path: Path) -> None:
    run("tests.experiments.misbehaving:Raising", name="failures")
    found = comparison.find_runs([tracking_uri], tmp_path, ["failures"])
    with pytest.raises(ExperimentError, match=r"no run has finished.*the framework's own words"):
        comparison.compare(found)


@pytest.mark.slow
def test_one_backend_and_one_seed_are_said_to_show_little(
    run: Run, tracking_uri: str, tmp_path: Path
) -> None:
    run("majority", name="single")
    notes = comparison.compare(comparison.find_runs([tracking_uri], tmp_path, ["single"])).notes
    assert any("keras_local has not finished here" in note for note in notes)
    assert any("One backend only" in note for note in notes)
    assert any("One seed only" in note for note in notes)


@pytest.mark.slow
def test_record_without_its_metrics_is_left_out(found: list[ComparedRun]) -> None:
    plain = next(run for run in found if run.record.backend == "majority")
    bare = replace(plain, record=plain.record.model_copy(update={"metrics": {}}))
    findings = comparison.compare([*found, bare])
    assert any("its record lacks test.f1, time.total_s" in one.reason for one in findings.excluded)
