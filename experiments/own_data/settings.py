"""Settings of an experiment that are derived from the user's data before Spark starts."""

from collections import Counter
from typing import Any

import pyarrow as pa

from data.appearance import Appearance, appearance
from data.config import DataConfig, ImageConfig
from data.division import check_division
from data.layouts import read_index
from data.names import visible
from experiments.config import Experiment
from experiments.errors import ExperimentError
from experiments.own_data.description import SYNTHETIC, OwnData
from experiments.own_data.positive_class import positive_class
from models.input_size import longest_side

#: Sides of downscaled images are a multiple of this number of pixels.
_STEP = 8
#: Limits of the side of an image, in pixels.
_SMALLEST, _LARGEST = 8, 2048


def read_data(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """Read file names and tables of the data, and derive the settings that were not given.

    Only a sample of the images is decoded, and Spark is not started.

    Parameters
    ----------
    experiment
        Experiment; settings are derived only if it is an ``OwnData``.

    Returns
    -------
    experiment
        The experiment with all settings; the argument itself if no setting was missing.
    lines
        Lines for the terminal: how the source was read, and which settings were derived.

    Raises
    ------
    DataError, ExperimentError
        If the source cannot be read, classes are unknown, the positive class is not one of them, or
        there are too few groups for a split.
    """
    config = experiment.data
    if config.source == SYNTHETIC:
        return experiment, ()
    index = read_index(config)
    table, class_names = check_division(index, config)
    if not isinstance(experiment, OwnData) or "positive_class" in experiment.model_fields_set:
        check_positive_class(experiment, class_names)
    if not isinstance(experiment, OwnData):
        return experiment, index.reading
    seen = appearance(index, table)
    settled = _settled(experiment, table, seen)
    return settled, (*index.reading, _decided(experiment, settled, seen))


def check_positive_class(experiment: Experiment, class_names: tuple[str, ...]) -> None:
    """Reject a positive class that does not occur in the data.

    Raises
    ------
    ExperimentError
        If the class does not occur; the message lists the classes of the data.
    """
    if experiment.positive_class not in class_names:
        raise ExperimentError(
            f"--positive-class: '{experiment.positive_class}' is not one of the data's classes: "
            f"{', '.join(map(visible, class_names))}"
        )


def _settled(experiment: OwnData, table: pa.Table, seen: Appearance | None) -> Experiment:
    """Return the experiment completed with the settings that were not given."""
    content: dict[str, Any] = experiment.model_dump()
    if "positive_class" not in experiment.model_fields_set:
        content["positive_class"] = positive_class(Counter(table["class_name"].to_pylist()))
    if seen is not None:
        content["data"]["image"] = _image(experiment, seen).model_dump()
    return Experiment.model_validate(content)


def _image(experiment: OwnData, seen: Appearance) -> ImageConfig:
    """Return the size and color of the images: as given, else their own, up to the model's size."""
    height, width = fitting(seen.height, seen.width, longest_side(experiment.model))
    decided = {"height": height, "width": width, "color": "grey" if seen.is_grey else "rgb"}
    return ImageConfig.model_validate({**decided, **_given_image(experiment.data)})


def _given_image(config: DataConfig) -> dict[str, Any]:
    """Return the given settings of the images' size and color."""
    return {name: getattr(config.image, name) for name in config.image.model_fields_set}


def fitting(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return the height and width to which images of ``height`` x ``width`` pixels are resized.

    Images keep their size if the longer side has at most ``longest`` pixels. Otherwise they are
    scaled down to that, with the proportions kept and both sides rounded to a multiple of 8. Sides
    are limited to 8 to 2048 pixels.
    """
    scale = longest / max(height, width)
    if scale < 1:
        height, width = (_STEP * int(side * scale / _STEP + 0.5) for side in (height, width))
    return (
        min(max(height, _SMALLEST), _LARGEST),
        min(max(width, _SMALLEST), _LARGEST),
    )


def _decided(experiment: OwnData, settled: Experiment, seen: Appearance | None) -> str:
    """Return a line with size, color and positive class, and the options that change them."""
    image, given = settled.data.image, _given_image(experiment.data)
    origin = f"median {seen.height} x {seen.width}; " if seen is not None else ""
    open_size = not {"height", "width"} <= given.keys()
    hints = [
        *(["--image-size"] if open_size else []),
        *([] if "color" in given else ["--color"]),
    ]
    size = f"images {image.height} x {image.width} {image.color}"
    size += f" ({origin if open_size else ''}{', '.join(hints)})" if hints else ""
    hint = "" if "positive_class" in experiment.model_fields_set else " (--positive-class)"
    return f"{size}, positive class '{visible(settled.positive_class)}'{hint}"
