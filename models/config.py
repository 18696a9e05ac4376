"""Configuration of a model and its optimizer."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.application_sizes import application_like

#: Names of this project's networks.
NetworkName = Literal["small_cnn", "lesion_cnn", "mini_xception"]
NETWORK_NAMES: tuple[str, ...] = get_args(NetworkName)


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


class BackboneConfig(_Frozen):
    """Network that computes features, and its layer. A bare string is taken as ``name``."""

    #: Name of a model of ``keras.applications`` (``ResNet50``), path of a ``.keras`` file or of the
    #: definition of a Caffe network (``.prototxt``), or name of one of this project's networks,
    #: untrained (``small_cnn``: random convolutions, a known baseline).
    name: Annotated[str, Field(min_length=1)]
    #: Name of the layer whose activations are the features; maps are averaged over their area.
    #: None uses the input of the last Dense layer, or the pooled maps of a ``keras.applications``
    #: model.
    layer: str | None = None
    #: Weights of a ``keras.applications`` model: None is ``imagenet``; ``none`` draws them from
    #: the seed.
    weights: Literal["imagenet", "none"] | None = None
    #: Side in pixels to which images are resized. None uses the size the network was trained at,
    #: or, if the network does not fix it, the size of the images.
    image_size: Annotated[int, Field(ge=8, le=2048)] | None = None
    #: Path of the weights of a Caffe network (``.caffemodel``); None draws them from the seed.
    caffemodel: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weights_are_needed(self) -> "BackboneConfig":
        if self.weights is not None and (self.is_file or self.name in NETWORK_NAMES):
            raise ValueError(
                f"weights '{self.weights}' is for models of keras.applications; "
                f"{self.name} has its own: omit weights"
            )
        if self.caffemodel is not None and not self.is_caffe:
            raise ValueError(
                f"caffemodel is for the definition of a Caffe network (.prototxt), not {self.name}"
            )
        if self.is_caffe and self.image_size is not None:
            raise ValueError("a Caffe network defines the size of its images: omit image_size")
        return self

    @property
    def is_file(self) -> bool:
        """True if ``name`` is the path of a file."""
        return self.name.endswith((".keras", ".prototxt"))

    @property
    def is_caffe(self) -> bool:
        """True if ``name`` is the path of the definition of a Caffe network."""
        return self.name.endswith(".prototxt")

    @property
    def draws_weights(self) -> bool:
        """True for a Caffe network without a file of weights: they are drawn from the seed."""
        return self.is_caffe and self.caffemodel is None

    @property
    def files(self) -> tuple[Path, ...]:
        """Paths of all files of the backbone, with ``~`` expanded."""
        given = (self.name, self.caffemodel) if self.is_file else ()
        return tuple(Path(os.path.expanduser(path)) for path in given if path)  # noqa: PTH111

    @property
    def may_download(self) -> bool:
        """True if building the backbone may download weights, which Keras then caches."""
        return not self.is_file and self.name not in NETWORK_NAMES and self.weights != "none"

    @property
    def path(self) -> Path:
        """Path of the file, with ``~`` expanded."""
        return Path(os.path.expanduser(self.name))  # noqa: PTH111 - Path raises for unknown users

    @property
    def missing(self) -> Path | None:
        """The first of `files` that does not exist."""
        return next((path for path in self.files if not path.is_file()), None)


class ModelConfig(_Frozen):
    """A network of the project with its options, or a backbone with a new last layer."""

    #: Network of the project, ``transfer`` for a backbone with a new last layer, or ``caffe``.
    name: Literal[NetworkName, "transfer", "caffe"] = "small_cnn"
    #: Random horizontal flips and rotations by up to a tenth of a turn, in training only.
    augmentation: bool = False
    #: Fraction of activations dropped before the last layer; None uses the network's default.
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    #: For ``transfer``: the network whose features the new last layer classifies.
    backbone: BackboneConfig | None = None
    #: For ``transfer``: True to train the backbone, too. Otherwise its features are computed once,
    #: and every backend trains the last layer on them.
    trainable: bool = False
    #: For ``caffe``: path of the definition of a Caffe network (``deploy.prototxt``).
    prototxt: str | None = None
    #: For ``caffe``: path of its weights (``.caffemodel``); None draws them from the seed.
    weights: str | None = None

    @field_validator("name", mode="before")
    @classmethod
    def _no_backbone(cls, value: Any) -> Any:
        if isinstance(value, str) and (backbone := application_like(value)):
            raise ValueError(
                f"{backbone} is a backbone: write --model transfer --set model.backbone={backbone}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if self.name == "transfer" and self.backbone is None:
            raise ValueError(
                "model transfer needs a backbone: a model of keras.applications, as in "
                "--set model.backbone=ResNet50, or a .keras file"
            )
        if self.name != "transfer" and (self.backbone is not None or self.trainable):
            raise ValueError(f"backbone and trainable are for model transfer, not {self.name}")
        if self.name == "caffe" and self.prototxt is None:
            raise ValueError(
                "model caffe needs the definition of a network: --set "
                "model.prototxt=deploy.prototxt"
            )
        if self.name != "caffe" and (self.prototxt or self.weights):
            raise ValueError(f"prototxt and weights are for model caffe, not {self.name}")
        if self.on_features and self.augmentation:
            raise ValueError(
                "the features of a frozen backbone are computed once, so images cannot be "
                "augmented: set trainable, or omit augmentation"
            )
        return self

    @property
    def on_features(self) -> bool:
        """True if the input of the network is features of a frozen backbone instead of pixels."""
        return self.name == "transfer" and not self.trainable

    @property
    def is_from_files(self) -> bool:
        """True if building the network needs files or downloads of the driver's machine."""
        return self.trainable or self.name == "caffe"

    @property
    def files(self) -> tuple[Path, ...]:
        """Paths of the definition and the weights of a Caffe network, with ``~`` expanded."""
        given = filter(None, (self.prototxt, self.weights))
        return tuple(Path(os.path.expanduser(path)) for path in given)  # noqa: PTH111


class PolicyConfig(_Frozen):
    """Learning rate by optimizer step, counted from 0, as a policy of Caffe's solver."""

    #: ``step``: times ``gamma`` after every ``steps[0]`` steps; ``multistep``: times ``gamma`` at
    #: each of ``steps``; ``exp``: times ``gamma`` at every step; ``inv``: divided by
    #: (1 + ``gamma`` x step) to the ``power``; ``poly``: times (1 - step / ``steps[0]``) to the
    #: ``power``; ``sigmoid``: times the logistic function of ``gamma`` x (step - ``steps[0]``).
    name: Literal["step", "multistep", "exp", "inv", "poly", "sigmoid"]
    #: Factor of ``step``, ``multistep`` and ``exp``, or slope of ``inv`` and ``sigmoid``.
    gamma: float = 1.0
    #: Exponent of ``inv`` and ``poly``.
    power: float = 1.0
    #: Optimizer steps at which the policy changes the learning rate, or its length in steps.
    steps: tuple[Annotated[int, Field(ge=1)], ...] = ()

    @model_validator(mode="after")
    def _has_steps(self) -> "PolicyConfig":
        if self.name in ("step", "poly", "sigmoid") and len(self.steps) != 1:
            raise ValueError(f"the policy {self.name} needs one number of steps: steps=[1000]")
        if self.name == "multistep" and not self.steps:
            raise ValueError("the policy multistep needs the steps at which the rate changes")
        return self


class OptimizerConfig(_Frozen):
    """Optimizer and its learning rate; all other settings are the defaults of Keras."""

    #: Optimizer of Keras, or its equivalent in BigDL.
    name: Literal["adam", "sgd", "adagrad", "rmsprop"] = "adam"
    #: Step size; constant during training unless there is a policy.
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    #: For ``sgd``: fraction of the previous update that is added to an update.
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    #: For ``sgd`` with momentum: True for Nesterov's form of it.
    nesterov: bool = False
    #: Change of the learning rate during training; None keeps it constant.
    policy: PolicyConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "OptimizerConfig":
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov are for the optimizer sgd, not {self.name}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum: set optimizer.momentum")
        return self
