"""Color of each backend in figures, reports and MLflow."""

from zlib import crc32

#: Color of each backend, distinguishable without red-green vision.
COLORS = {
    "keras_local": "#0173b2",
    "elephas": "#de8f05",
    "tensorflowonspark": "#029e73",
    "spark_tensorflow_distributor": "#d55e00",
    "torch_distributor": "#cc78bc",
    "caffe_on_spark": "#b79a00",
    "pandas_udf": "#56b4e9",
    "bigdl": "#a5682a",
    "gradient_boosting": "#7f5fbf",
    "majority": "#949494",
}
#: Colors of other backends, chosen by name.
OTHERS = ("#e377a2", "#8c9a1e", "#3fb5ac", "#b0413e", "#5b6abf")


def color_of(backend: str) -> str:
    """Return the color of a backend as ``#rrggbb``; for others, one that its name determines."""
    return COLORS.get(backend) or OTHERS[crc32(backend.encode()) % len(OTHERS)]
