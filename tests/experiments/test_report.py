"""The report of made-up runs: first screen, figures, images, and the folder of a comparison."""

import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from data.drawing import GRID
from experiments.__main__ import app
from experiments.comparison import compare, tables, write_report
from experiments.comparison.canvas import Style
from experiments.comparison.facts import facts
from experiments.comparison.findings import Findings
from experiments.comparison.hard_cases import hard_cases
from experiments.comparison.output_folder import check_unused, new_folder
from experiments.comparison.recommendation import recommendation
from experiments.comparison.report import draw
from experiments.errors import ExperimentError
from tests.experiments.made_up_report import made_up_runs

AT = datetime(2026, 11, 27, 21, 18, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def findings() -> Findings:
    return compare(made_up_runs(patients=12, images=10), margin=0.02)


@pytest.fixture(scope="module")
def folder(findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(findings, tmp_path_factory.mktemp("report") / "one").parent


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_recommendation_comes_before_the_table_and_the_table_before_the_rest(
    findings: Findings, folder: Path, page: str
) -> None:
    advice = recommendation(findings)
    assert advice.headline.startswith("Train with ")
    places = [page.index(text) for text in (advice.headline, "<table>", "<nav", "<h2")]
    assert places == sorted(places)
    first = page[: page.index("<nav")]
    for cell in tables.main(findings).to_numpy().ravel():
        assert cell in first
    for text in ("AMD EPYC 7763, 2 logical cores", "python 3.12.3", "120 images of 12 patients"):
        assert text in first
    assert (folder / "table.md").read_text().startswith(advice.paragraph)


def test_every_difference_and_the_margin_are_in_the_report(findings: Findings, page: str) -> None:
    text = page.replace("&#39;", "'")
    assert all(sentence in text for sentence in findings.sentences)
    assert "p of equivalence within 0.02" in page
    assert "Schuirmann 1987" in page


def test_links_of_the_contents_and_of_the_figures_lead_somewhere(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    linked = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)
    assert len(linked) > 20
    assert {one or other for one, other in linked} <= set(ids)


def test_page_loads_nothing(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page) == []
    assert set(re.findall(r"https?://[^\"' )]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert page.count("<svg") == 8


def test_figures_are_text_that_follows_the_color_of_the_page(findings: Findings) -> None:
    figures = draw(findings)
    assert "validation cross-entropy (nats)" in figures["learning"]
    for element in figures.values():
        assert "#000000" not in element
        assert "<metadata>" not in element
    assert f'class="grid" style="fill: none; stroke: {GRID}' in figures["f1"]


def test_epochs_are_whole_numbers(findings: Findings) -> None:
    element = draw(findings)["learning"]
    # Matplotlib precedes each tick's label with a comment if it is a path, here it is text.
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", element)
    assert labels[:4] == ["1", "2", "3", "4"]


def test_colors_of_backends_do_not_depend_on_the_comparison() -> None:
    names = ["keras_local", "elephas", "mine", "yours", "elephas (emr)"]
    style, other = Style(names), Style(["yours", "elephas"])
    assert style.color("elephas") == other.color("elephas") == style.color("elephas (emr)")
    assert len({style.color(name) for name in names}) == 4
    assert Style(["mine"]).color("mine") == style.color("mine")


def test_wrong_images_have_their_classes_and_probabilities(findings: Findings, page: str) -> None:
    cases = hard_cases(findings)
    pictures = [picture for case in cases for picture in case.pictures]
    assert pictures
    runs = [run for row in findings.rows if row.trained for run in row.runs]
    for wrong in pictures:
        rows = [run.predictions.set_index("image_id").loc[wrong.image_id] for run in runs]
        assert wrong.true_class == ("healthy", "sick")[int(rows[0]["label"])]
        assert wrong.predicted_class != wrong.true_class
        mean = sum(row[f"probability_{wrong.predicted_class}"] for row in rows) / len(rows)
        assert wrong.probability == pytest.approx(mean)
        assert wrong.probability > 0.5
        assert f"<figcaption>{wrong.caption}</figcaption>" in page
    assert pictures[0].png.startswith(b"\x89PNG")


def test_machine_of_older_records_is_not_recorded() -> None:
    runs = made_up_runs(patients=8, images=4, seeds=1, backends=("keras_local", "elephas"))
    for run in runs:
        run.record.tags.pop("machine.cpu", None)
    told = dict(facts(compare(runs)))
    assert told["Machine"] == "processor not recorded, 2 cores reserved per run"


def test_seconds_of_another_processor_are_not_comparable() -> None:
    runs = made_up_runs(patients=8, images=4, seeds=1, backends=("keras_local", "elephas"))
    runs[1].record.tags["machine.cpu"] = "Xeon"
    (row,) = [row for row in compare(runs).rows if row.label == "elephas"]
    assert row.speed_obstacles == ("processor Xeon instead of AMD EPYC 7763",)


def test_every_comparison_has_a_folder_of_its_own(tmp_path: Path) -> None:
    parent = tmp_path / "comparison"
    folders = [new_folder("c-nmc, it's/mine", parent, AT) for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "2026-11-27_21-18-07_c-nmc-it-s-mine",
        "2026-11-27_21-18-07_c-nmc-it-s-mine_2",
        "2026-11-27_21-18-07_c-nmc-it-s-mine_3",
    ]
    assert not stat.S_IMODE(folders[0].stat().st_mode) & 0o077
    (tmp_path / "file").touch()
    with pytest.raises(ExperimentError, match="cannot be created"):
        new_folder("x", tmp_path / "file", AT)


def test_folder_with_a_report_is_refused_before_any_work(tmp_path: Path) -> None:
    check_unused(tmp_path)
    report = tmp_path / "report.html"
    report.write_text("earlier")
    result = CliRunner().invoke(app, ["compare", "--output", str(tmp_path)])
    assert result.exit_code == 2
    assert "contains a comparison already, which is not overwritten" in result.stderr
    assert report.read_text() == "earlier"


@pytest.mark.parametrize("margin", ["0", "1", "-0.1", "nan"])
def test_margin_that_is_no_difference_of_f1_is_refused(margin: str) -> None:
    result = CliRunner().invoke(app, ["compare", f"--margin={margin}"])
    assert result.exit_code == 2
    assert "--margin is a difference of F1 between 0 and 1" in result.stderr
