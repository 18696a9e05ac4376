"""A training job of Caffe or CaffeOnSpark: the solver, and the data layer of its network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.caffe.definition import DATA_LAYERS, located
from models.caffe.fillers import TYPES
from models.caffe.schema import messages
from models.config import OptimizerConfig, PolicyConfig
from models.errors import ModelError

_TRAIN = 0
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
#: Settings of optimizers for which the values of Keras are used: of Caffe, of Keras.
_KEPT = {
    "AdaGrad": {"delta": "accumulators start at 0.1 (Caffe: 0), epsilon 1e-7"},
    "RMSProp": {"rms_decay": "rho 0.9", "delta": "epsilon 1e-7"},
    "Adam": {"momentum": "beta_1 0.9", "momentum2": "beta_2 0.999", "delta": "epsilon 1e-7"},
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
        `models.caffe.definition.located`.

    Raises
    ------
    ModelError
        If a file cannot be read, has an unknown setting, or lacks one that is needed.
    """
    solver = _parsed(path, "SolverParameter", "solver", unknown=False)
    name = solver.net or solver.train_net
    if not name:
        raise ModelError(f"{path} names no network: add net or train_net")
    if solver.max_iter < 1:
        raise ModelError(f"{path} says no number of steps: add max_iter")
    net = located(name, path.parent)
    content = _parsed(net, "NetParameter", "network", unknown=True)
    layers = [*content.layer, *content.layers]
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
        (*_differences(solver, kind), *_differences_of_layers(layers, weights)),
    )


def _parsed(path: Path, message: str, what: str, *, unknown: bool) -> Any:
    from google.protobuf import text_format

    content = messages()[message]()
    try:
        text_format.Parse(path.read_text("utf-8"), content, allow_unknown_field=unknown)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        reason = getattr(error, "strerror", None) or str(error).replace("sparkdl_bench.caffe.", "")
        raise ModelError(f"{path} cannot be read as a Caffe {what}: {reason}") from error
    return content


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
                "learning_rate": _plain(solver.base_lr),
                "momentum": _plain(momentum),
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
            "gamma": _plain(solver.gamma),
            "power": _plain(solver.power),
            "steps": steps[name],
        }
    )


def _plain(value: float) -> float:
    """Return a float32 of a message as the decimal number that was written."""
    return float(f"{value:.7g}")


def _source(layers: list[Any], net: Path) -> Source:
    """Return the source of the training phase."""
    for layer in layers:
        kind = layer.type
        if isinstance(kind, int):
            kind = {5: "Data", 12: "ImageData", 29: "MemoryData"}.get(kind, "")
        if kind not in DATA_LAYERS or not _trains(layer):
            continue
        fields = {
            "Data": layer.data_param,
            "ImageData": layer.image_data_param,
            "MemoryData": layer.memory_data_param,
        }
        if (parameters := fields.get(kind)) is not None and parameters.batch_size:
            source, root = parameters.source, getattr(parameters, "root_folder", "")
            return Source(kind, source.removeprefix("file:"), root, parameters.batch_size)
    raise ModelError(
        f"{net} says no batch size for training: it needs a Data, ImageData or MemoryData layer "
        "with batch_size"
    )


def _trains(layer: Any) -> bool:
    included = [rule.phase for rule in layer.include if rule.HasField("phase")]
    excluded = [rule.phase for rule in layer.exclude if rule.HasField("phase")]
    return (not included or _TRAIN in included) and _TRAIN not in excluded


def _differences(solver: Any, kind: str) -> list[str]:
    found = []
    if solver.weight_decay:
        found.append(f"weight_decay {_plain(solver.weight_decay)} is not applied.")
    if solver.clip_gradients > 0:
        found.append(f"clip_gradients {_plain(solver.clip_gradients)} is not applied.")
    for name, instead in _KEPT.get(kind, {}).items():
        if solver.HasField(name):
            found.append(f"{name} {_plain(getattr(solver, name))} of {kind}: Keras has {instead}.")
    if kind == "AdaGrad" and not solver.HasField("delta"):
        found.append(f"AdaGrad: Keras's {_KEPT[kind]['delta']}.")
    if solver.test_iter or solver.test_net or solver.test_interval:
        found.append(
            "test_iter, test_interval and test networks do not apply: patients of the split are "
            "used for validation after each epoch, and others for the test."
        )
    if solver.snapshot:
        found.append("snapshot does not apply: a checkpoint is kept after each epoch.")
    if solver.solver_mode == 1:
        found.append("solver_mode GPU does not apply: the backend determines the device.")
    return found


def _differences_of_layers(layers: list[Any], weights: Path | None) -> list[str]:
    found = []
    if any(spec.lr_mult != 1 for layer in layers for spec in getattr(layer, "param", ())):
        found.append("lr_mult of layers is not applied: all weights have the same learning rate.")
    if weights is None:
        found += _differences_of_weights(layers)
    transforms = [layer.transform_param for layer in layers if layer.HasField("transform_param")]
    if any(one.mirror for one in transforms):
        found.append(
            "mirror is not applied: --set model.augmentation=true flips and rotates images."
        )
    if any(one.crop_size for one in transforms):
        found.append("crop_size does not crop: whole images are resized to this size.")
    return found


def _differences_of_weights(layers: list[Any]) -> list[str]:
    """Return sentences on layers whose initial weights are not those of a filler."""
    parameters = [one for layer in layers for one in _with_fillers(layer)]
    fillers = [one.weight_filler.type for one in parameters if one.HasField("weight_filler")]
    unknown = sorted({name for name in fillers if name not in TYPES})
    found = []
    if unknown:
        found.append(
            f"weight_filler {', '.join(unknown)}: initial weights are drawn from a Glorot uniform "
            "distribution instead."
        )
    if len(fillers) < len(parameters):
        found.append(
            "Layers without a weight_filler get initial weights from a Glorot uniform distribution "
            "(Caffe: 0)."
        )
    return found


def _with_fillers(layer: Any) -> list[Any]:
    """Return the parameters of a message of a layer that has weights."""
    fields = ("convolution_param", "inner_product_param")
    return [getattr(layer, name) for name in fields if layer.HasField(name)]
