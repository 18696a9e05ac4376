"""Drawing of synthetic blood cells with class-specific and patient-specific traits.

Leukemic blasts (``all``) tend to have a larger, less regular nucleus that fills more of the cell,
finer chromatin and pale nucleoli; healthy lymphocytes (``hem``) tend to have a small round nucleus
with coarse clumps. The mean of each trait is drawn for every patient, and the values of the cells
around it; the classes overlap in all traits. Stain, light and grain of the smear depend on the
patient but not on the class. Lengths are fractions of half the image's side; noise scales are in
pixels at 96 x 96.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

#: Side in pixels to which the scales of the noise refer.
REFERENCE_SIZE = 96
#: Pixels drawn at once, which need about 150 bytes each: five cells of 450 x 450.
BLOCK_PIXELS = 2**20


@dataclass(frozen=True)
class Trait:
    """Normally distributed property: class means, and spread between patients and cells."""

    all: float
    hem: float
    between_patients: float
    between_cells: float
    lowest: float
    highest: float

    def draw_mean(self, label: str, generator: np.random.Generator) -> float:
        """Draw the mean of one patient."""
        mean = self.all if label == "all" else self.hem
        return mean + self.between_patients * generator.standard_normal()

    def draw(self, mean: float, cells: int, generator: np.random.Generator) -> np.ndarray:
        """Draw one value around ``mean`` for each cell, float64 of shape (cells,)."""
        values = mean + self.between_cells * generator.standard_normal(cells)
        return np.clip(values, self.lowest, self.highest)


CELL_RADIUS = Trait(0.732, 0.548, 0.012, 0.071, 0.42, 0.82)
NUCLEUS_SHARE = Trait(0.867, 0.74, 0.01, 0.057, 0.6, 0.95)
IRREGULARITY = Trait(0.055, 0.035, 0.006, 0.015, 0.0, 0.12)
CHROMATIN_SCALE = Trait(1.38, 2.52, 0.1, 0.44, 0.8, 4.0)
CHROMATIN_CONTRAST = Trait(0.13, 0.18, 0.02, 0.03, 0.03, 0.3)
NUCLEOLI = Trait(1.4, 0.3, 0.25, 0.8, 0.0, 3.4)


@dataclass(frozen=True)
class Smear:
    """Stain, light and grain of all cells of one patient, independent of the class."""

    #: Optical density of nucleus and cytoplasm in red, green and blue.
    nucleus: np.ndarray
    cytoplasm: np.ndarray
    #: Color of the light, 0..1.
    light: np.ndarray
    #: Streaks across the cell: scales in pixels along and across them, contrast and orientation.
    grain_scale: tuple[float, float]
    grain_contrast: float
    quarter_turns: int

    @classmethod
    def draw(cls, generator: np.random.Generator) -> "Smear":
        """Draw the properties of one patient's smear."""
        # Bounded above, because a nucleus would otherwise be as black as the background.
        strength = min(generator.lognormal(0, 0.28), 1.4)
        tint = np.clip(generator.normal(0, 0.5, 3), -1.0, 0.5)
        along, across = generator.uniform(0.6, 3.0, 2)
        return cls(
            nucleus=strength * np.array([0.80, 1.25, 0.52]) * np.exp(tint),
            cytoplasm=strength * np.array([0.42, 0.62, 0.22]) * np.exp(tint[::-1]),
            light=generator.uniform(0.75, 1.0, 3),
            grain_scale=(along, across),
            grain_contrast=generator.uniform(0.03, 0.14),
            quarter_turns=int(generator.integers(2)),
        )


class Patient:
    """Properties shared by all cells of one patient; means of traits are drawn on first use."""

    def __init__(self, label: str, generator: np.random.Generator) -> None:
        self.smear = Smear.draw(generator)
        self._label = label
        self._means: dict[Trait, float] = {}

    def draw(self, trait: Trait, cells: int, generator: np.random.Generator) -> np.ndarray:
        """Draw the values of ``trait`` for ``cells`` cells, float64 of shape (cells,)."""
        if trait not in self._means:
            self._means[trait] = trait.draw_mean(self._label, generator)
        return trait.draw(self._means[trait], cells, generator)


def draw_cells(label: str, cells: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Draw all cells of one patient.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (cells, size, size, 3); black outside the cell.
    """
    return np.concatenate([*draw_blocks(label, cells, size, generator)])


def draw_blocks(
    label: str, cells: int, size: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the cells of one patient in blocks of at most `BLOCK_PIXELS` pixels or one cell.

    Each block is an array as returned by `draw_cells`.
    """
    patient = Patient(label, generator)
    most = max(1, BLOCK_PIXELS // size**2)
    for first in range(0, cells, most):
        yield _draw_block(patient, min(most, cells - first), size, generator)


def _draw_block(
    patient: Patient, cells: int, size: int, generator: np.random.Generator
) -> np.ndarray:
    smear = patient.smear
    x, y = _coordinates(cells, size, generator)
    irregularity = patient.draw(IRREGULARITY, cells, generator)
    radius = patient.draw(CELL_RADIUS, cells, generator)
    cell = _blob(x, y, radius, irregularity, generator)

    share = patient.draw(NUCLEUS_SHARE, cells, generator)
    shift = 0.35 * radius * (1 - share)
    direction = generator.uniform(0, 2 * np.pi, cells)
    x = x - _each(shift * np.cos(direction))
    y = y - _each(shift * np.sin(direction))
    nucleus_radius = radius * share
    nucleus = _blob(x, y, nucleus_radius, 1.2 * irregularity, generator) * cell

    density = 1 + _chromatin(patient, cells, size, generator)
    density = density - 0.32 * _nucleoli(x, y, nucleus_radius, patient, generator)
    cytoplasm = 1 + 0.07 * _noise(cells, size, 1.2, generator)
    grain = 1 + smear.grain_contrast * _grain(cells, size, smear, generator)

    absorbed = (nucleus * density * grain)[..., None] * smear.nucleus
    absorbed += ((1 - nucleus) * cytoplasm * grain)[..., None] * smear.cytoplasm
    picture = 255 * smear.light * np.exp(-np.clip(absorbed, 0, None)) * cell[..., None]
    picture += generator.normal(0, 1.5, picture.shape) * cell[..., None]
    pixels: np.ndarray = np.clip(picture, 0, 255).astype(np.uint8)
    return pixels


def _coordinates(
    cells: int, size: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel positions relative to each cell's center, -1..1, shape (cells, size, size)."""
    axis = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    center = generator.normal(0, 0.03, (2, cells))
    shape = (cells, size, size)
    return (
        np.broadcast_to(axis[None, None, :] - _each(center[0]), shape),
        np.broadcast_to(axis[None, :, None] - _each(center[1]), shape),
    )


def _blob(
    x: np.ndarray,
    y: np.ndarray,
    radius: np.ndarray,
    irregularity: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the coverage of a round shape with a wavy outline, 0..1 with a soft edge."""
    angle = np.arctan2(y, x)
    outline = np.ones_like(angle)
    for wave in (2, 3, 4, 5, 7):
        height = irregularity * generator.normal(1, 0.3, len(radius)) * (2 / wave) ** 0.7
        phase = generator.uniform(0, 2 * np.pi, len(radius))
        outline += _each(height) * np.cos(wave * angle + _each(phase))
    outside = np.hypot(x, y) - _each(radius) * outline
    edge = max(0.03, 2 / x.shape[-1])
    cover: np.ndarray = np.clip(0.5 - outside / edge, 0, 1)
    return cover


def _chromatin(
    patient: Patient, cells: int, size: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the relative density of each nucleus, a blend of fine and coarse noise."""
    scale = patient.draw(CHROMATIN_SCALE, cells, generator)
    contrast = patient.draw(CHROMATIN_CONTRAST, cells, generator)
    coarse = np.clip((scale - 0.8) / 2.4, 0, 1)
    blend = _each(np.sqrt(1 - coarse)) * _noise(cells, size, 1.1, generator)
    blend += _each(np.sqrt(coarse)) * _noise(cells, size, 3.2, generator)
    density: np.ndarray = _each(contrast) * blend
    return density


def _nucleoli(
    x: np.ndarray,
    y: np.ndarray,
    nucleus_radius: np.ndarray,
    patient: Patient,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return pale round spots inside the nucleus, 0..1."""
    number = np.rint(patient.draw(NUCLEOLI, len(x), generator))
    spots = np.zeros_like(x)
    for spot in range(3):
        distance = nucleus_radius * generator.uniform(0.1, 0.6, len(x))
        direction = generator.uniform(0, 2 * np.pi, len(x))
        width = generator.uniform(0.06, 0.1, len(x)).astype(np.float32)
        away = (x - _each(distance * np.cos(direction))) ** 2
        away += (y - _each(distance * np.sin(direction))) ** 2
        shown = _each((spot < number).astype(np.float32))
        spots = np.maximum(spots, shown * np.exp(-away / (2 * _each(width) ** 2)))
    return spots


def _grain(cells: int, size: int, smear: Smear, generator: np.random.Generator) -> np.ndarray:
    noise = _noise(cells, size, smear.grain_scale, generator)
    return np.rot90(noise, smear.quarter_turns, axes=(1, 2))


def _noise(
    cells: int, size: int, scale: float | tuple[float, float], generator: np.random.Generator
) -> np.ndarray:
    """Return smooth noise of mean 0 and standard deviation 1, float32 (cells, size, size)."""
    from scipy.ndimage import gaussian_filter

    scales = np.broadcast_to(scale, 2) * (size / REFERENCE_SIZE)
    white = generator.standard_normal((cells, size, size), np.float32)
    smooth = gaussian_filter(white, (0, *scales), mode="wrap", truncate=3)
    result: np.ndarray = smooth / smooth.std(axis=(1, 2), keepdims=True)
    return result


def _each(values: np.ndarray) -> np.ndarray:
    """Reshape one value for each cell so that it broadcasts over the cell's pixels."""
    return values.astype(np.float32)[:, None, None]
