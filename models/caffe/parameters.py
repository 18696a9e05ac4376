"""Settings of layers that Caffe writes in several forms."""

from collections.abc import Sequence
from typing import Any

from models.caffe.definition import Layer
from models.errors import ModelError


def weight_parameters(layer: Layer) -> Any:
    """Return the parameters of a convolution or an inner product, or None for other layers."""
    if layer.type == "Convolution":
        return layer.parameters.convolution_param
    return layer.parameters.inner_product_param if layer.type == "InnerProduct" else None


def pair(parameters: Any, repeated: str, single: str, default: int) -> tuple[int, int]:
    """Return height and width of a setting, which Caffe writes in one of two ways."""
    if parameters.HasField(f"{single}_h") or parameters.HasField(f"{single}_w"):
        return getattr(parameters, f"{single}_h"), getattr(parameters, f"{single}_w")
    found = getattr(parameters, repeated)
    return (found, found) if isinstance(found, int) else values(found, default)


def values(found: Sequence[int], default: int) -> tuple[int, int]:
    """Return height and width of a repeated field with one, two or no values."""
    if len(found) > 2:
        raise ModelError("only images with two dimensions can be read")
    given = [*found] or [default]
    return given[0], given[-1]
