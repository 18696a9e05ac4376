"""A training job of Caffe or CaffeOnSpark: the solver, and the data layer of its network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.caffe.definition import TRAIN, Layer, in_phase, layers_of
from models.caffe.differences import of_layers, of_solver, plain
from models.caffe.files import located, parsed
from models.config import OptimizerConfig, PolicyConfig
from models.errors import ModelError

#: Optimizer of each type of solver.
_OPTIMIZERS = {
    "SGD": "sgd",
    "Nesterov": "sgd",
    "AdaGrad": "adagrad",
    "RMSProp": "rmsprop",
    "Adam": "adam",
}
#: Types of solvers in files from before 2015.
_OLD_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
#: Field with the parameters of each data layer that has a batch size.
_SOURCES = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "MemoryData": "memory_data_param",
}


@dataclass(frozen=True)
class Source:
    """Source of the training images."""

    #: Type of the layer: ``Data`` (an LMDB), ``ImageData`` (a list of paths) or ``MemoryData``.
    layer: str
    #: As written in the definition; empty if the layer names none.
    path: str
    #: Folder of the paths of ``ImageData``.
    root: str
    batch_size: int


@dataclass(frozen=True)
class Solver:
    """A job, in the terms of this project."""

    net: Path
    optimizer: OptimizerConfig
    max_iter: int
    #: Images per optimizer step.
    batch_size: int
    seed: int | None
    source: Source
    #: File with initial weights, if the solver names one.
    weights: Path | None
    #: What differs from training with Caffe, one sentence each.
    differences: tuple[str, ...]


def read_solver(path: Path) -> Solver:
    """Read a solver and the training phase of its network.

    Parameters
    ----------
    path
        Solver in protobuf's text format. Paths in it are found as by
        `models.caffe.files.located`.

    Raises
    ------
    ModelError
        If a file cannot be read, has an unknown setting, or lacks one that is needed.
    """
    solver = parsed(path, "SolverParameter", "solver", unknown=False)
    name = solver.net or solver.train_net
    if not name:
        raise ModelError(f"{path} names no network: add net or train_net")
    if solver.max_iter < 1:
        raise ModelError(f"{path} says no number of steps: add max_iter")
    net = located(name, path.parent)
    layers = layers_of(parsed(net, "NetParameter", "network", unknown=True), {})
    source = _source(layers, net)
    kind = _type(solver)
    optimizer = _optimizer(solver, kind, path)
    weights = located(solver.weights[0], path.parent) if solver.weights else None
    return Solver(
        net,
        optimizer,
        solver.max_iter,
        source.batch_size * solver.iter_size,
        solver.random_seed if solver.HasField("random_seed") and solver.random_seed >= 0 else None,
        source,
        weights,
        (*of_solver(solver, kind), *of_layers(layers, draws=weights is None)),
    )


def _type(solver: Any) -> str:
    if solver.type or not solver.HasField("solver_type"):
        return str(solver.type or "SGD")
    field = solver.DESCRIPTOR.fields_by_name["solver_type"]
    return _OLD_TYPES[field.enum_type.values_by_number[solver.solver_type].name]


def _optimizer(solver: Any, kind: str, path: Path) -> OptimizerConfig:
    from pydantic import ValidationError

    if kind not in _OPTIMIZERS:
        raise ModelError(
            f"{path} has the type {kind}, which no backend offers: choose one of "
            f"{', '.join(_OPTIMIZERS)}"
        )
    momentum = solver.momentum if _OPTIMIZERS[kind] == "sgd" else 0.0
    try:
        return OptimizerConfig.model_validate(
            {
                "name": _OPTIMIZERS[kind],
                "learning_rate": plain(solver.base_lr),
                "momentum": plain(momentum),
                "nesterov": kind == "Nesterov" and momentum > 0,
                "policy": _policy(solver, path),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _policy(solver: Any, path: Path) -> PolicyConfig | None:
    name = solver.lr_policy or "fixed"
    if name == "fixed":
        return None
    steps = {
        "step": [solver.stepsize],
        "multistep": list(solver.stepvalue),
        "poly": [solver.max_iter],
        "sigmoid": [solver.stepsize],
        "exp": [],
        "inv": [],
    }
    if name not in steps:
        raise ModelError(f"{path}: unknown lr_policy '{name}'; known: fixed, {', '.join(steps)}")
    if name in ("step", "multistep", "sigmoid") and not all(steps[name] or [0]):
        raise ModelError(
            f"{path}: the lr_policy {name} needs "
            f"{'stepvalue' if name == 'multistep' else 'stepsize'}"
        )
    return PolicyConfig.model_validate(
        {
            "name": name,
            "gamma": plain(solver.gamma),
            "power": plain(solver.power),
            "steps": steps[name],
        }
    )


def _source(layers: list[Layer], net: Path) -> Source:
    """Return the source of the training phase."""
    for layer in layers:
        if layer.type not in _SOURCES or not in_phase(layer, TRAIN):
            continue
        parameters = getattr(layer.parameters, _SOURCES[layer.type])
        if parameters.batch_size:
            root = getattr(parameters, "root_folder", "")
            source = parameters.source.removeprefix("file:")
            return Source(layer.type, source, root, parameters.batch_size)
    raise ModelError(
        f"{net} says no batch size for training: it needs a Data, ImageData or MemoryData layer "
        "with batch_size"
    )
