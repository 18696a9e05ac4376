"""Networks of Caffe as Keras models: definition (``.prototxt``) and weights (``.caffemodel``)."""

from models.caffe.definition import Definition, read_definition
from models.caffe.network import build_caffe, check, head_note, outputs_of

__all__ = [
    "Definition",
    "build_caffe",
    "check",
    "head_note",
    "outputs_of",
    "read_definition",
]
