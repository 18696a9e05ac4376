"""What decides a model and its optimiser."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelConfig(_Frozen):
    """One of the project's networks and its options."""

    name: Literal["small_cnn", "lesion_cnn", "mini_xception"] = "small_cnn"
    #: Random horizontal flips and rotations by up to a tenth of a turn, in training only.
    augmentation: bool = False
    #: Share of activations dropped before the last layer; None takes the network's own value.
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None


class OptimizerConfig(_Frozen):
    """The optimiser and its learning rate; everything else as Keras sets it."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
