"""Measurements of images by ``describe --html``, and the outlying patients that it lists."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from data.exploration.colour import far_patients, image_figures, patient_figures
from data.exploration.measure import MEASURE_SCHEMA, measure_file, measure_pixels
from data.exploration.survey import Survey
from tests.data.drawn import cell, content

# One image


def test_brightness_and_colour_are_of_the_cell_and_not_of_the_ground() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[16:48, 16:48] = (200, 100, 50)
    measured = measure_pixels(pixels)
    assert measured["ground"] == 0.75
    assert [measured[name] for name in ("red", "green", "blue")] == [200, 100, 50]
    assert measured["brightness"] == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_black_image_has_no_brightness() -> None:
    assert "brightness" not in measure_pixels(np.zeros((20, 20, 1), np.uint8))


def test_header_says_what_the_file_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter turn
    wide = cell(0).resize((60, 30))
    cases = {
        "palette": (content(wide.convert("P")), "P"),
        "cmyk": (content(wide.convert("CMYK"), "TIFF"), "CMYK"),
        "alpha": (content(wide.convert("RGBA")), "RGBA"),
        "16 bits": (content(Image.fromarray(np.full((30, 60), 40_000, np.uint16))), "I;16"),
    }
    for name, (file, mode) in cases.items():
        measured = measure_file(file)
        assert (measured["mode"], measured["width"], measured["height"]) == (mode, 60, 30), name
        assert measured["transparent"] == (name == "alpha")
        assert measured.get("reason") is None
    turned = measure_file(content(wide, "JPEG", exif=exif))
    assert turned["turned"]
    assert (turned["width"], turned["height"]) == (30, 60)


@pytest.mark.slow
def test_bomb_is_refused_and_its_size_is_known() -> None:
    measured = measure_file(content(Image.new("1", (10_000, 8_000))))
    assert (measured["width"], measured["height"]) == (10_000, 8_000)
    assert "more than 64,000,000 pixels" in measured["reason"]


# Outlying patients


def survey_of(colors: dict[str, tuple[int, int, int]], each: int = 6) -> Survey:
    rows = [
        {
            "path": f"{patient}_{number}",
            "patient_id": patient,
            "class_name": "a",
            **measure_pixels(np.asarray(cell(100 * place + number, color=color))),
        }
        for place, (patient, color) in enumerate(colors.items())
        for number in range(each)
    ]
    names = [pa.field(name, pa.string()) for name in ("path", "patient_id", "class_name")]
    table = pa.Table.from_pylist(rows, pa.schema([*names, *MEASURE_SCHEMA]))
    return Survey(table, len(rows), None)


def far_of(measured: Survey) -> set[tuple[str, str]]:
    patients = patient_figures(image_figures(measured.table))
    return {(one.patient_id, one.word) for one in far_patients(patients)}


def test_patients_of_another_light_or_stain_are_named() -> None:
    usual = {f"p{number}": (150, 80, 160) for number in range(12)}
    found = far_of(survey_of({**usual, "dark": (90, 48, 96), "pink": (200, 60, 110)}))
    assert ("dark", "darker") in found
    assert ("pink", "redder") in found
    assert {patient for patient, _ in found} == {"dark", "pink"}


def test_of_few_patients_or_images_nobody_is_named() -> None:
    few = {f"p{number}": (150, 80, 160) for number in range(5)}
    assert far_of(survey_of({**few, "dark": (90, 48, 96)})) == set()
    many = {f"p{number}": (150, 80, 160) for number in range(12)}
    assert far_of(survey_of({**many, "dark": (90, 48, 96)}, each=3)) == set()
