"""Training jobs of Caffe and CaffeOnSpark as experiments of this project."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.any_table import image_list
from data.datum import DATABASE, BadRecord, count
from experiments.errors import ExperimentError
from experiments.overrides import Given
from models.caffe import Definition, read_definition
from models.caffe.files import located
from models.caffe.solver import Solver, read_solver

#: Option that names the solver.
OPTION = "--caffe-solver"


@dataclass(frozen=True)
class CaffeJob:
    """Settings of an experiment, and what differs from Caffe."""

    #: Values by dotted key, as `experiments.loading.load` takes them.
    overrides: dict[str, Given]
    #: Lines for the terminal, which are recorded as the description of the experiment, too.
    lines: tuple[str, ...]


def read_job(path: Path, given: Mapping[str, Given]) -> CaffeJob:
    """Read a job and return it as overrides of an experiment.

    Parameters
    ----------
    path
        Solver of Caffe in protobuf's text format.
    given
        Overrides that the user gave, which take precedence over the job.

    Raises
    ------
    ModelError
        If a file of the job cannot be read or translated.
    ExperimentError
        If the length of training is unknown, or the images of the job cannot be read.
    """
    solver = read_solver(path)
    values = {**_model(solver, given), **_optimizer(solver, given), "batch_size": solver.batch_size}
    if solver.seed is not None:
        values["seeds"] = [solver.seed]
    lines = [f"{path.name}: {_summary(solver)}"]
    if "epochs" not in given:
        values["epochs"], line = _epochs(solver, path, given)
        lines.append(line)
    if "data.source" not in given:
        values |= _data(solver, path)
    lines += [f"differs from Caffe: {sentence}" for sentence in solver.differences]
    values["description"] = "\n".join(lines)
    overrides = {key: Given(OPTION, value) for key, value in values.items() if key not in given}
    return CaffeJob(overrides, tuple(lines))


def _model(solver: Solver, given: Mapping[str, Given]) -> dict[str, Any]:
    """Return the job's network and the size of its images, unless another network is given."""
    if "model.name" in given:
        return {}
    values: dict[str, Any] = {"model.name": "caffe", "model.prototxt": str(solver.net)}
    if solver.weights is not None:
        values["model.weights"] = str(solver.weights)
    return values | _image(read_definition(solver.net, solver.weights))


def _optimizer(solver: Solver, given: Mapping[str, Given]) -> dict[str, Any]:
    """Return the job's optimizer; of another one, only learning rate and policy."""
    found = solver.optimizer.model_dump(mode="json", exclude_defaults=True)
    if "optimizer.name" in given:
        found = {key: found[key] for key in ("learning_rate", "policy") if key in found}
    else:
        found["name"] = solver.optimizer.name
    return {f"optimizer.{key}": value for key, value in found.items()}


def _image(definition: Definition) -> dict[str, Any]:
    """Return the size and color of the network's images, as far as the network fixes them."""
    if definition.shape is None:
        return {}
    channels, height, width = definition.shape
    return {
        "data.image.height": height,
        "data.image.width": width,
        "data.image.color": "grey" if channels == 1 else "rgb",
    }


def _summary(solver: Solver) -> str:
    optimizer = solver.optimizer
    policy = optimizer.policy.name if optimizer.policy else "fixed"
    momentum = f", momentum {optimizer.momentum:g}" if optimizer.momentum else ""
    return (
        f"network {solver.net.name}, {optimizer.name} with learning rate "
        f"{optimizer.learning_rate:g} ({policy}){momentum}, batches of {solver.batch_size} images"
    )


def _epochs(solver: Solver, path: Path, given: Mapping[str, Given]) -> tuple[int, str]:
    """Return the number of passes over the job's images, and a line that explains it."""
    images = 0 if "data.source" in given else _images(solver, path)
    if not images:
        raise ExperimentError(
            f"{path}: max_iter {solver.max_iter:,} is a number of optimizer steps, and the number "
            "of images is not known: give --epochs"
        )
    epochs = max(1, -(-solver.max_iter * solver.batch_size // images))
    line = (
        f"max_iter {solver.max_iter:,} with batches of {solver.batch_size} is {epochs} epochs of "
        f"{images:,} images; the training patients of the split have fewer, so that there are "
        "fewer steps"
    )
    return epochs, line


def _images(solver: Solver, path: Path) -> int:
    place = _place(solver, path)
    if solver.source.layer == "ImageData":
        return len(_listed(solver, place, path.parent))
    try:
        return count(str(place / DATABASE))
    except BadRecord as error:
        raise ExperimentError(f"{place}: {error}; give the images with --data") from error


def _data(solver: Solver, path: Path) -> dict[str, Any]:
    """Return the source of the images and, for a list of paths, the table of their labels."""
    place = _place(solver, path)
    if solver.source.layer != "ImageData":
        return {"data.source": str(place)}
    images = _listed(solver, place, path.parent)
    folder = os.path.commonpath([image.parent for image in images])
    return {"data.source": folder, "data.labels": str(place)}


def _place(solver: Solver, path: Path) -> Path:
    if not solver.source.path:
        raise ExperimentError(
            f"the data layer of {solver.net} names no source: give the images with --data"
        )
    return located(solver.source.path, path.parent)


def _listed(solver: Solver, place: Path, folder: Path) -> list[Path]:
    """Return the paths in the list of images ``place``, of a solver in ``folder``."""
    try:
        rows = image_list(place.read_text("utf-8"))
    except OSError as error:
        raise ExperimentError(
            f"the list of images {place} cannot be read: {error.strerror}"
        ) from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"the list of images {place} is not UTF-8 text") from error
    if not rows:
        raise ExperimentError(
            f"{place} is no list of images: each line must be a path, a space and a class number"
        )
    names = [Path(solver.source.root) / name for name, _ in rows]
    # As for other files: relative to the working folder, the solver's folder, or that of the list.
    bases = [base for base in (Path(), folder, place.parent) if (base / names[0]).exists()]
    if not bases:
        raise ExperimentError(f"there is no image {names[0]}, which {place} lists")
    return [(bases[0] / name).resolve() for name in names]
