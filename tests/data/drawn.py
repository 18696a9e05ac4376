"""Small pictures for tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def cell(seed: int, side: int = 48, color: tuple[int, int, int] = (150, 80, 160)) -> Image.Image:
    """Return a textured disk on a black background, different for each seed."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    inside = np.hypot(x * generator.uniform(0.8, 1.2), y) < side * 0.4
    texture = Image.fromarray(generator.integers(0, 90, (6, 6), np.uint8)).resize((side, side))
    pixels = np.clip(np.array(color) + np.asarray(texture)[..., None] - 45, 20, 255)
    return Image.fromarray((pixels * inside[..., None]).astype(np.uint8))


def content(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def draw_folder(source: Path, patients: int, cells: int) -> Path:
    """Draw cells of patients who are alternately sick and well; file names contain the patient."""
    for number in range(patients * cells):
        patient = number // cells
        place = source / ("sick", "well")[patient % 2]
        place.mkdir(parents=True, exist_ok=True)
        cell(number).save(place / f"p{patient}_{number}.png")
    return source
