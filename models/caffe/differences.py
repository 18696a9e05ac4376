"""Sentences on what differs between a job of Caffe and its run with this project."""

from collections.abc import Sequence
from typing import Any

from models.caffe.definition import Layer
from models.caffe.fillers import TYPES
from models.caffe.parameters import weight_parameters

#: Settings of optimizers for which the values of Keras are used: of Caffe, of Keras.
_KEPT = {
    "AdaGrad": {"delta": "accumulators start at 0.1 (Caffe: 0), epsilon 1e-7"},
    "RMSProp": {"rms_decay": "rho 0.9", "delta": "epsilon 1e-7"},
    "Adam": {"momentum": "beta_1 0.9", "momentum2": "beta_2 0.999", "delta": "epsilon 1e-7"},
}


def plain(value: float) -> float:
    """Return a float32 of a message as the decimal number that was written."""
    return float(f"{value:.7g}")


def of_solver(solver: Any, kind: str) -> list[str]:
    """Return the settings of a solver that are not applied, or differently.

    Parameters
    ----------
    solver
        Message ``SolverParameter``.
    kind
        Type of the solver.
    """
    found = []
    if solver.weight_decay:
        found.append(f"weight_decay {plain(solver.weight_decay)} is not applied.")
    if solver.clip_gradients > 0:
        found.append(f"clip_gradients {plain(solver.clip_gradients)} is not applied.")
    for name, instead in _KEPT.get(kind, {}).items():
        if solver.HasField(name):
            found.append(f"{name} {plain(getattr(solver, name))} of {kind}: Keras has {instead}.")
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


def of_layers(layers: Sequence[Layer], *, draws: bool) -> list[str]:
    """Return the settings of a network for training that are not applied, or differently.

    Parameters
    ----------
    layers
        Layers of all phases.
    draws
        True if the initial weights are drawn instead of read from a file.
    """
    messages = [layer.parameters for layer in layers]
    found = []
    if any(spec.lr_mult != 1 for one in messages for spec in getattr(one, "param", ())):
        found.append("lr_mult of layers is not applied: all weights have the same learning rate.")
    if draws:
        found += _of_weights(layers)
    transforms = [one.transform_param for one in messages if one.HasField("transform_param")]
    if any(one.mirror for one in transforms):
        found.append(
            "mirror is not applied: --set model.augmentation=true flips and rotates images."
        )
    if any(one.crop_size for one in transforms):
        found.append("crop_size does not crop: whole images are resized to this size.")
    return found


def _of_weights(layers: Sequence[Layer]) -> list[str]:
    """Return sentences on layers whose initial weights are not those of a filler."""
    parameters = [one for one in map(weight_parameters, layers) if one is not None]
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
