"""The page of ``describe --html`` and its parts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from data.cli import app
from data.config import DataConfig, ImageConfig
from data.describe import describe
from data.description import Description
from data.duplicates import duplicates_of
from data.errors import DataError
from data.exploration import explore
from data.exploration.findings import Findings, find
from data.exploration.survey import SPARK_FROM_IMAGES, survey
from data.ingest import prepare
from data.layouts.listing import list_source
from data.local_spark import local_context
from data.prepared import PreparedData
from data.synthetic import NOTICE_FILE
from tests.data.drawn import cell, content, draw_folder

PATTERN = r"(p\d+)_"


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """One Spark session for all tests, because starting it takes longer than the tests."""
    with local_context(2, "tests"):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of five patients with six cells each."""
    return draw_folder(tmp_path / "source", patients=10, cells=6)


def looked_at(source: Path, **options) -> tuple[Description, Findings]:
    description = describe(DataConfig(source=str(source), group_pattern=PATTERN))
    return description, find(description, survey(description, **options))


def page_of(source: Path, **options) -> str:
    description = describe(DataConfig(source=str(source), group_pattern=PATTERN))
    target = source.with_name("report.html")
    explore(description, str(target), **options)
    return target.read_text()


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


# A survey


def damage(folder: Path) -> None:
    whole = (folder / "sick/p0_0.png").read_bytes()
    (folder / "sick/p0_cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "sick/p0_empty.png").touch()
    (folder / "well/p1_text.bmp").write_text("not an image")
    (folder / "well/p1_bomb.png").write_bytes(content(Image.new("1", (10_000, 8_000))))
    (folder / "well/p1_gone.png").symlink_to(folder / "nowhere.png")
    (folder / "well/nobody.png").write_bytes(whole)


@pytest.mark.slow
@pytest.mark.spark
def test_what_cannot_be_read_is_what_an_ingest_rejects(spark, folder: Path) -> None:
    damage(folder)
    _, findings = looked_at(folder)
    config = DataConfig(
        source=str(folder),
        layout="folders",
        group_pattern=PATTERN,
        image=ImageConfig(height=48, width=48),
        max_reject_share=0.5,
    )
    data = prepare(config, str(folder.with_name("out")))
    rejected = pq.read_table(Path(data.uri) / "rejects.parquet").to_pylist()
    assert len(rejected) == 6

    def key(row: dict) -> str:
        return row["path"]

    assert sorted(findings.rejects.to_pylist(), key=key) == sorted(rejected, key=key)


def test_sample_takes_images_of_every_patient(folder: Path) -> None:
    _, findings = looked_at(folder, sample=2)
    assert findings.survey.is_sample
    patients = findings.survey.table.column("patient_id").to_pylist()
    assert sorted(patients) == sorted(2 * [f"p{number}" for number in range(10)])
    _, whole = looked_at(folder, sample=99)
    assert not whole.survey.is_sample


@pytest.mark.slow
@pytest.mark.spark
def test_spark_measures_what_threads_measure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(folder)
    description, here = looked_at(folder)
    monkeypatch.setattr("data.exploration.survey.SPARK_FROM_IMAGES", 1)
    monkeypatch.setattr("data.exploration.survey.TASK_IMAGES", 32)
    assert SPARK_FROM_IMAGES > 100
    told: list[tuple[int, int]] = []
    spread = survey(description, progress=lambda done, total: told.append((done, total)))
    assert spread.table.equals(here.survey.table)
    assert told[-1] == (spread.images, spread.images)


# Duplicates


@pytest.mark.slow
def test_duplicates_of_two_patients_are_a_leak_risk_at_the_top(folder: Path) -> None:
    first = folder / "sick/p0_0.png"
    (folder / "sick/p2_copy.png").write_bytes(first.read_bytes())
    Image.open(first).save(folder / "sick/p4_other.bmp")
    _, findings = looked_at(folder)
    (same,) = findings.duplicates.equal_pixels
    assert same.paths == ("sick/p0_0.png", "sick/p2_copy.png", "sick/p4_other.bmp")
    assert len(findings.duplicates.equal_files) == 1
    (leak,) = findings.leaks
    assert leak.startswith("One image occurs with more than one of the patients")
    text = page_of(folder)
    assert text.index("LEAK RISK") < text.index(">Classes</h2>")


def test_digests_that_an_older_data_set_does_not_tell_are_not_equal_ones() -> None:
    table = pa.table(
        {
            "path": ["a.png", "b.png"],
            "patient_id": ["1", "2"],
            "class_name": ["sick", "sick"],
            "source_xxh128": pa.array([None, None], pa.binary(16)),
            "pixels_sha256": pa.array([bytes(32)] * 2, pa.binary(32)),
        }
    )
    found = duplicates_of(table)
    assert [one.paths for one in found.equal_pixels] == [("a.png", "b.png")]
    assert found.equal_files == found.in_other_files == ()


def test_picture_saved_with_loss_or_resized_is_perhaps_the_same(folder: Path) -> None:
    image = Image.open(folder / "sick/p0_0.png")
    image.save(folder / "sick/p2_lossy.jpg", quality=85)
    image.resize((96, 96), Image.Resampling.BICUBIC).save(folder / "sick/p4_large.png")
    _, findings = looked_at(folder)
    assert findings.duplicates.equal_pixels == ()
    assert findings.similar is not None
    (alike,) = findings.similar
    assert set(alike.paths) == {"sick/p0_0.png", "sick/p2_lossy.jpg", "sick/p4_large.png"}
    assert "may be one image saved again" in findings.leaks[0]


def test_other_cells_and_blank_pictures_are_not_called_the_same(folder: Path) -> None:
    Image.new("RGB", (48, 48), (0, 0, 1)).save(folder / "sick/p0_blank.png")
    Image.new("RGB", (48, 48), (1, 0, 0)).save(folder / "sick/p2_blank.png")
    _, findings = looked_at(folder)
    assert findings.similar == ()
    assert findings.leaks == []
    assert any(
        "Images of a single color, which show nothing: 2" in remark for remark in findings.remarks
    )


def test_class_that_a_size_gives_away_is_told(folder: Path) -> None:
    for path in (folder / "sick").iterdir():
        Image.open(path).resize((60, 60)).save(path)
    _, findings = looked_at(folder)
    assert any("size of a file reveals the class" in remark for remark in findings.remarks)


def test_file_that_is_no_bmp_in_spite_of_its_name_is_told(folder: Path) -> None:
    cell(99).save(folder / "sick/p0_odd.bmp", "PNG")
    _, findings = looked_at(folder)
    assert any("differs from their suffix, read by content: 1" in r for r in findings.remarks)


@pytest.mark.slow
def test_folder_without_one_readable_image_has_a_page(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a", "b"):
        (source / name).mkdir(parents=True)
        (source / name / "p1_x.png").touch()
    text = page_of(source)
    assert "Left out: 2 images that cannot be read" in text
    assert "empty file" in text


# The page


@pytest.mark.slow
def test_page_needs_no_other_file_and_shows_every_part(folder: Path) -> None:
    damage(folder)
    text = page_of(folder)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    for title in ("Classes", "Images per patient", "Sizes and kinds of files", "Duplicates"):
        assert re.search(f"<h2 id=.[a-z-]+.>{title}", text)
    assert ">Brightness and color by patient</h2>" in text
    assert "not an image" in text
    assert "damaged image" in text
    assert text.count("data:image/png") == 4  # bars, images per patient, brightness, color
    assert text.count("data:image/jpeg") == 2 * 12 + 10 * 6


@pytest.mark.slow
def test_names_are_shown_and_run_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    name = "<script>alert(1) $x$ \u202e\n"
    for number in range(6):
        place = source / (f"sick {name}", "well & 血液")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        cell(number).save(place / f"p{number}_{name}.png")
    (source / "sick" / "x").mkdir(parents=True)
    (source / f"sick {name}" / f"p1_{name}-bad.png").touch()
    text = page_of(source)
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert r"\u202e\n" in text
    assert "\u202e" not in text
    assert "well &amp; 血液" in text


@pytest.mark.slow
def test_synthetic_images_and_samples_are_stamped(folder: Path) -> None:
    (folder / NOTICE_FILE).touch()
    text = page_of(folder, sample=1)
    assert "SYNTHETIC images: they show neither patients" in text
    assert "A sample: 10 of 60 images were read" in text
    (folder / NOTICE_FILE).unlink()
    text = page_of(folder)
    assert "SYNTHETIC" not in text
    assert "A sample" not in text


@pytest.mark.slow
@pytest.mark.spark
def test_prepared_data_is_described_from_its_parquet_files(
    spark, prepared: PreparedData, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "report.html"
    code, out, _ = run("describe", prepared.uri, "--html", target)
    assert code == 0
    assert f"written {target}" in out.replace("\n", "")
    text = target.read_text()
    assert "All images were resized to 24 x 24" in text
    assert "train (patients)" in text
    assert "SYNTHETIC" in text
    assert "on two sides of the split" in text  # the heading of an empty list


@pytest.mark.slow
@pytest.mark.spark
def test_duplicates_on_two_sides_of_a_split_are_a_leak(spark, folder: Path) -> None:
    first = folder / "sick/p0_0.png"
    for patient in range(2, 10, 2):
        (folder / f"sick/p{patient}_copy.png").write_bytes(first.read_bytes())
    config = DataConfig(
        source=str(folder), group_pattern=PATTERN, image=ImageConfig(height=32, width=32)
    )
    data = prepare(config, str(folder.with_name("out")))
    description = describe(DataConfig(source=data.uri))
    findings = find(description, survey(description))
    assert "on two sides of the split: the network is trained on images" in findings.leaks[0]


# The command


@pytest.mark.slow
def test_page_is_written_into_new_folders_and_over_an_old_page(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "a" / "b" / "report.html"
    arguments = ("describe", folder, "--group-pattern", PATTERN, "--html", target)
    assert run(*arguments)[0] == 0
    target.write_text("old")
    (folder / "well/p0_copy.png").write_bytes((folder / "sick/p0_0.png").read_bytes())
    (folder / "well/p1_copy.png").write_bytes((folder / "sick/p0_0.png").read_bytes())
    code, out, _ = run(*arguments)
    assert code == 0
    assert "LEAK RISK: One image occurs with more than one of the patients" in out
    assert "two classes" in out
    assert target.read_text().startswith("<!DOCTYPE html>")


def test_page_that_cannot_be_written_is_said_before_images_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("data.exploration.survey.survey", never)
    (tmp_path / "file").touch()
    description = describe(DataConfig(source=str(folder), group_pattern=PATTERN))
    with pytest.raises(DataError, match="is a folder; give a file in it"):
        explore(description, str(tmp_path))
    with pytest.raises(DataError, match="cannot be created"):
        explore(description, str(tmp_path / "file" / "report.html"))


@pytest.mark.slow
def test_sample_without_a_page_is_refused(folder: Path) -> None:
    code, _, err = run("describe", folder, "--group-pattern", PATTERN, "--sample", 3)
    assert code == 2
    assert "give --html too" in err


# Without reading an image


def test_oddities_of_names_and_sizes_are_told_without_reading(folder: Path) -> None:
    (folder / "sick/p0_empty.png").touch()
    (folder / "sick/p0_whole.svs").touch()
    cell(7).save(folder / "sick/p10_x.png")
    (folder / "readme.txt").write_text("about")
    description = describe(DataConfig(source=str(folder), group_pattern=r"(?i)(p\d+)_"))
    assert any(
        "Image files that are empty and will be rejected: 1" in note for note in description.notes
    )
    assert {row["path"]: row["kind"] for row in description.rejects.to_pylist()} == {
        "sick/p0_whole.svs": "format",
        "readme.txt": "no image",
    }
    (folder / "well/P0_x.png").write_bytes((folder / "well/p1_6.png").read_bytes())
    notes = describe(DataConfig(source=str(folder), group_pattern=r"(?i)(p\d+)_")).notes
    assert any("differ only in case" in n and "'P0' and 'p0'" in n for n in notes)
    assert "sick/p0_whole.svs" in list_source(str(folder)).files
