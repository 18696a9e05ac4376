"""Definition and weights of a Caffe network, read from files, in one form for all versions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.caffe.files import located, parsed
from models.caffe.schema import TYPES, messages
from models.errors import ModelError

#: Phases of a network.
TRAIN, TEST = 0, 1
#: Layers that provide images and labels.
DATA_LAYERS = ("Data", "ImageData", "Input", "MemoryData", "HDF5Data", "DummyData", "CoSData")
#: Layers that are only needed for training or for reports.
_LEFT_OUT = ("Accuracy", "ArgMax", "Silence")


@dataclass(frozen=True)
class Layer:
    """A layer with its parameters and, if a file contains them, its weights."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    #: Message with the fields ``convolution_param``, ``pooling_param`` and so on.
    parameters: Any
    #: float32, in the order of Caffe.
    blobs: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Preprocessing:
    """Scale and mean that the data layer applies to pixels 0..255."""

    scale: float = 1.0
    #: Mean of each channel in the order blue, green, red, or of all channels.
    mean: tuple[float, ...] = ()


@dataclass(frozen=True)
class Definition:
    """Layers in order, from one blob of images."""

    name: str
    layers: tuple[Layer, ...]
    #: Name of the blob of images.
    input: str
    #: Channels, height and width of the images; None if the files do not fix them.
    shape: tuple[int, int, int] | None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def shape_for(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return channels, height and width of the network for images of another shape.

        Parameters
        ----------
        image_shape
            Height, width and channels of the images, which determine what the files leave open.
        """
        if self.shape is not None:
            return self.shape
        height, width, channels = image_shape
        for layer in self.layers:
            if self.input in layer.bottoms and layer.type == "Convolution" and layer.blobs:
                channels = int(layer.blobs[0].shape[1])
        return max(channels, len(self.preprocessing.mean)), height, width


def read_definition(prototxt: Path, weights: Path | None = None) -> Definition:
    """Read a network in its test phase.

    Parameters
    ----------
    prototxt
        Definition of the network, for deployment or for training.
    weights
        Binary file with the weights, by names of layers.

    Raises
    ------
    ModelError
        If a file cannot be read, or the input of the network is not one blob of images.
    """
    content = parsed(prototxt, "NetParameter", "network", unknown=True)
    every = layers_of(content, _blobs(weights) if weights is not None else {})
    tested = [layer for layer in every if in_phase(layer, TEST)]
    layers = tuple(
        layer for layer in tested if layer.type not in DATA_LAYERS and layer.type not in _LEFT_OUT
    )
    if not layers:
        raise ModelError(f"{prototxt} has no layers")
    sources = [layer for layer in every if layer.type in DATA_LAYERS]
    name, shape = _input(content, sources, prototxt)
    if weights is not None and not any(layer.blobs for layer in layers):
        raise ModelError(f"{weights} has weights for none of the layers of {prototxt}")
    return Definition(
        content.name or prototxt.stem, layers, name, shape, _preprocessing(sources, prototxt)
    )


def layers_of(content: Any, stored: dict[str, tuple[np.ndarray, ...]]) -> list[Layer]:
    """Return the layers of a message ``NetParameter`` of any version, with stored weights."""
    return [_layer(one, stored) for one in (*content.layer, *content.layers)]


def _blobs(path: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the weights in a file by names of layers."""
    from google.protobuf.message import DecodeError

    content = messages()["NetParameter"]()
    try:
        content.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} cannot be read as the weights of a Caffe network: {error}") from (
            error
        )
    return {
        layer.name: tuple(_array(blob) for blob in layer.blobs)
        for layer in (*content.layers, *content.layer)
        if layer.blobs
    }


def _array(blob: Any) -> np.ndarray:
    values = np.array(blob.data or blob.double_data, np.float32)
    shape = tuple(blob.shape.dim)
    if not shape:
        shape = (blob.num, blob.channels, blob.height, blob.width)
    if np.prod(shape) != values.size:
        raise ModelError(f"a blob of shape {shape} has {values.size} values")
    return values.reshape(shape)


def _layer(message: Any, stored: dict[str, tuple[np.ndarray, ...]]) -> Layer:
    kind = message.type
    if isinstance(kind, int):
        fields = message.DESCRIPTOR.fields_by_name["type"].enum_type
        old = fields.values_by_number[kind].name
        kind = TYPES.get(old, old.title().replace("_", ""))
    blobs = stored.get(message.name, ())
    return Layer(message.name, kind, tuple(message.bottom), tuple(message.top), message, blobs)


def in_phase(layer: Layer, phase: int) -> bool:
    """Return whether a layer belongs to a phase; rules that name no phase apply to both."""
    included = [rule.phase for rule in layer.parameters.include if rule.HasField("phase")]
    excluded = [rule.phase for rule in layer.parameters.exclude if rule.HasField("phase")]
    return (not included or phase in included) and phase not in excluded


def _input(
    content: Any, sources: list[Layer], prototxt: Path
) -> tuple[str, tuple[int, int, int] | None]:
    """Return name and shape (channels, height, width) of the blob of images.

    The shape is None if a data layer neither gives nor crops to a size, as those of databases.
    """
    if content.input:
        dimensions = list(content.input_shape[0].dim) if content.input_shape else []
        dimensions = dimensions or list(content.input_dim[:4])
        return content.input[0], _image_shape(dimensions, prototxt)
    for layer in sources:
        parameters = layer.parameters
        if layer.type == "Input":
            shapes = parameters.input_param.shape
            if shapes:
                return layer.tops[0], _image_shape(list(shapes[0].dim), prototxt)
        elif layer.type == "MemoryData":
            memory = parameters.memory_data_param
            shape = [1, memory.channels, memory.height, memory.width]
            return layer.tops[0], _image_shape(shape, prototxt)
        elif crop := parameters.transform_param.crop_size:
            channels = len(parameters.transform_param.mean_value)
            return layer.tops[0], (1 if channels == 1 else 3, crop, crop)
    if sources and sources[0].tops:
        return sources[0].tops[0], None
    raise ModelError(
        f"{prototxt} does not say what its images are: add 'input' with 'input_shape', an Input "
        "layer, or a data layer"
    )


def _image_shape(dimensions: list[int], prototxt: Path) -> tuple[int, int, int]:
    if len(dimensions) != 4 or dimensions[1] not in (1, 3) or min(dimensions[2:]) < 1:
        raise ModelError(
            f"{prototxt} must have one input of images (n, 1 or 3 channels, height, width), not "
            f"{tuple(dimensions)}"
        )
    return dimensions[1], dimensions[2], dimensions[3]


def _preprocessing(sources: list[Layer], prototxt: Path) -> Preprocessing:
    for layer in sources:
        found = layer.parameters.transform_param
        if not layer.parameters.HasField("transform_param"):
            continue
        return Preprocessing(found.scale, _mean(found, prototxt))
    return Preprocessing()


def _mean(parameter: Any, prototxt: Path) -> tuple[float, ...]:
    """Return the mean of each channel; that of an image is averaged over its area."""
    if not parameter.mean_file:
        return tuple(parameter.mean_value)
    path = located(parameter.mean_file, prototxt.parent)
    from google.protobuf.message import DecodeError

    blob = messages()["BlobProto"]()
    try:
        blob.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"the mean file {path} cannot be read: {error}") from error
    image = _array(blob)
    return tuple(float(value) for value in image.reshape(image.shape[-3], -1).mean(axis=1))
