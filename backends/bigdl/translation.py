"""Translation of a functional Keras model to BigDL's Keras-style model, layer by layer.

``obstacle`` reports what cannot be translated, without starting BigDL.
"""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.bigdl.graph import Step, steps
from backends.bigdl.layers import CHANNELS_FIRST, MERGES, ONLY, TRANSLATIONS
from backends.bigdl.weights import LayerWeights, NormalizationWeights, Ordering
from backends.errors import BackendError

if TYPE_CHECKING:
    import keras

#: Activations that are the same function in both frameworks.
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")


class Network:
    """BigDL translation of a Keras model, with weights in Keras's order.

    Parameters
    ----------
    model
        Functional model of one input and one output for which ``obstacle`` returns None.
    ordering
        Position of the channels of images in BigDL: ``th`` first, ``tf`` last.

    Raises
    ------
    BackendError
        If a layer cannot be translated; the message names it.
    """

    def __init__(self, model: "keras.Model", ordering: Ordering) -> None:
        from bigdl.dllib.keras.models import Model

        reason = obstacle(model, ordering)
        if reason is not None:
            raise BackendError(reason)
        self._weights: list[LayerWeights] = []
        self._ordering: Ordering = ordering
        nodes: dict[int, Any] = {}
        for step in steps(model):
            incoming = [nodes[id(tensor)] for tensor in step.inputs]
            nodes[id(step.output)] = self._connect(step, incoming)
        ends = [nodes[id(tensor)] for tensor in (model.inputs[0], model.outputs[0])]
        #: BigDL's model.
        self.model = Model(*ends)
        self.set_weights(model.get_weights())

    @property
    def has_statistics(self) -> bool:
        """True if the network has batch normalization, which keeps running statistics."""
        return any(isinstance(weights, NormalizationWeights) for weights in self._weights)

    def get_weights(self) -> list[np.ndarray]:
        """Return float32 weights in the order of ``keras.Model.get_weights()``."""
        return [array for weights in self._weights for array in weights.read()]

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Set weights given in the order of ``keras.Model.get_weights()``."""
        remaining = iter(values)
        for weights in self._weights:
            weights.write(list(islice(remaining, weights.count)))

    def _connect(self, step: Step, incoming: list[Any]) -> Any:
        """Connect a step to the BigDL nodes ``incoming``; return the node of its output."""
        from bigdl.dllib.keras.engine.topology import Input, merge

        if step.kind == "InputLayer":
            return Input(shape=_shape(step.output, self._ordering))
        if step.kind in MERGES:
            # The first axis is that of the samples.
            axis = 1 if self._ordering == "th" and len(step.output.shape) == 4 else -1
            return merge(incoming, mode=MERGES[step.kind], concat_axis=axis, name=step.name)
        (node,) = incoming
        translated, weights = TRANSLATIONS[step.kind](step.layer, self._ordering)
        for part in translated:
            node = part(node)
        self._weights += weights
        return node


def obstacle(model: "keras.Model", ordering: Ordering = "th") -> str | None:
    """Return why ``model`` cannot be translated, naming the layer, or None; BigDL is not needed."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return f"{model.name}: only models of one input and one output are translated to BigDL"
    known: set[int] = set()
    for step in steps(model):
        if step.kind not in {"InputLayer", *MERGES, *TRANSLATIONS}:
            return f"{_where(step)} cannot be translated: no equivalent layer in BigDL is known"
        if known and not {id(tensor) for tensor in step.inputs} <= known:
            return f"{_where(step)} is reused from another model"
        known.add(id(step.output))
        if reason := _obstacle(step, ordering):
            return reason
    for entry in model.get_config()["layers"]:
        if len(entry["inbound_nodes"]) > 1:
            return f"layer '{entry['name']}' ({entry['class_name']}) is used more than once"
    return None


def _obstacle(step: Step, ordering: Ordering) -> str:  # noqa: PLR0911
    where, layer = _where(step), step.layer
    if getattr(layer, "weights", None) and not layer.trainable:
        return f"{where} is frozen, and its BigDL translation would be trained"
    differing = [
        f"{name}={getattr(layer, name)!r}"
        for name, translated in ONLY.get(step.kind, {}).items()
        if getattr(layer, name) not in translated
    ]
    if differing:
        return f"{where} has {', '.join(differing)}, which cannot be translated to BigDL"
    if ordering != "th" and CHANNELS_FIRST.get(step.kind, _never)(layer):
        return f"{where} is translated with the option ordering=th only"
    if step.kind in MERGES and not _merges_equals(step):
        return f"{where} is translated to BigDL only for two or more inputs of equal shape"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation not in ACTIVATIONS:
        return f"{where} has the activation '{activation}', not one of {', '.join(ACTIVATIONS)}"
    if activation == "softmax" and len(step.output.shape) != 2:
        return f"{where} has a softmax over the channels of images, which differs in BigDL"
    return ""


def _merges_equals(step: Step) -> bool:
    """Return whether no input is a constant or has to be broadcast."""
    joined = step.kind == "Concatenate"
    shapes = {tensor.shape[:-1] if joined else tensor.shape for tensor in step.inputs}
    return len(step.inputs) > 1 and len(shapes) == 1


def _where(step: Step) -> str:
    return f"layer '{step.name}' ({step.kind})"


def _never(_: Any) -> bool:
    return False


def _shape(tensor: Any, ordering: Ordering) -> tuple[int, ...]:
    """Return the shape of one sample in BigDL's ordering; Keras's has the channels last."""
    shape = tuple(tensor.shape[1:])
    return (shape[2], shape[0], shape[1]) if ordering == "th" and len(shape) == 3 else shape
