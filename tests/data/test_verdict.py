"""The verdict of ``describe --html``: fine, or what to mend, with a command where there is one."""

import re
from pathlib import Path

import pytest

from data.config import DataConfig
from data.describe import describe
from data.exploration.findings import find
from data.exploration.page import page
from data.exploration.survey import survey
from data.exploration.verdict import Verdict, verdict
from tests.data.drawn import cell, draw_folder

PATTERN = r"(p\d+)_"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three patients with two cells each."""
    return draw_folder(tmp_path / "source", patients=6, cells=2)


def verdict_of(
    source: Path, pattern: str | None = PATTERN, sample: int | None = None
) -> tuple[Verdict, str]:
    """Return the verdict and the page."""
    description = describe(DataConfig(source=str(source), group_pattern=pattern))
    findings = find(description, survey(description, sample=sample))
    return verdict(description, findings), page(description, findings)


def test_images_without_a_fault_are_fine_and_the_page_begins_with_it(folder: Path) -> None:
    found, text = verdict_of(folder)
    assert found.fine
    assert found.headline == "Fine: nothing to mend before training was found."
    assert text.index(found.headline) < text.index("<h2")
    assert 'class="lead good"' in text


def test_sample_is_fine_only_as_far_as_it_was_read(folder: Path) -> None:
    found, _ = verdict_of(folder, sample=1)
    assert found.headline.startswith("Fine as far as the images were read")


def test_copy_with_another_patient_and_class_is_two_things_to_mend(folder: Path) -> None:
    (folder / "well/p1_copy.png").write_bytes((folder / "sick/p0_0.png").read_bytes())
    found, text = verdict_of(folder)
    assert found.headline == "2 things to mend before training."
    leak, label = found.mends
    assert leak.problem.startswith("One image occurs with more than one of the patients")
    assert label.problem == "One image occurs in two classes: one of the labels is wrong."
    assert f"data describe {folder} --html report.html" in leak.command
    assert 'class="lead bad"' in text
    assert text.index(label.problem) < text.index("<h2")


def test_file_that_cannot_be_read_names_the_option_that_repairs(folder: Path) -> None:
    (folder / "sick/p0_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    found, _ = verdict_of(folder)
    (mend,) = found.mends
    assert mend.problem.startswith("Left out: 1 image that cannot be read")
    assert mend.command.endswith(f"data prepare {folder} NEW_FOLDER --damaged accept")


def test_class_of_too_few_patients_is_omitted_by_the_command(folder: Path) -> None:
    (folder / "rare").mkdir()
    cell(50).save(folder / "rare/p9_50.png")
    found, _ = verdict_of(folder)
    (mend,) = found.mends
    assert mend.problem.startswith("Class rare: fewer than 3 patients")
    assert mend.command.endswith(f"data prepare {folder} NEW_FOLDER --class sick --class well")


def test_unknown_patients_are_to_be_named(tmp_path: Path) -> None:
    for number in range(12):
        place = tmp_path / "source" / ("sick", "well")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        cell(number).save(place / f"{'abcdefghijkl'[number]}.png")
    found, _ = verdict_of(tmp_path / "source", None)
    assert [mend.problem.partition(".")[0] for mend in found.mends] == [
        "The patients are not known"
    ]
    assert "--group-pattern '(patient_\\d+)'" in found.mends[0].command


def test_contents_of_the_page_lead_to_its_headings(folder: Path) -> None:
    _, text = verdict_of(folder)
    linked = set(re.findall(r'href="#([^"]+)"', text))
    assert len(linked) == 9
    assert linked == set(re.findall(r'<h2 id="([^"]+)"', text))
