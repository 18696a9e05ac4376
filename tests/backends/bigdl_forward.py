"""BigDL's forward pass of translated networks, in a separate process.

The process is separate because the jars of BigDL must be on the class path of the JVM from the
start. ``python -m tests.backends.bigdl_forward <file>`` writes (probabilities, weights) of every
case to the file.
"""

import pickle
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from backends.bigdl.backend import jars
from backends.bigdl.translation import Network
from backends.bigdl.weights import Ordering
from models import ModelConfig, build
from tests.models.caffe_networks import alexnet, googlenet

if TYPE_CHECKING:
    import keras

CLASSES = 3
IMAGES = 16
#: Networks and image shapes; with odd sides "same" padding is asymmetric.
CASES = [
    ("small_cnn", (24, 24, 3)),
    ("small_cnn", (25, 31, 1)),
    ("lesion_cnn", (36, 37, 3)),
    ("mini_xception", (64, 64, 3)),
    ("mini_xception", (37, 41, 3)),
    ("alexnet", (99, 99, 3)),
    ("googlenet", (64, 64, 3)),
]
ORDERINGS = get_args(Ordering)
#: Networks of Caffe.
CAFFE = {"alexnet": alexnet, "googlenet": googlenet}
#: Values of each channel that AlexNet subtracts from the pixels.
MEANS = "transform_param { scale: 0.02 mean_value: 104 mean_value: 117 mean_value: 123 }"
#: Outcome of one network in BigDL: probabilities, and the weights in the order of Keras.
Outcome = tuple[np.ndarray, list[np.ndarray]]


def orderings(name: str) -> tuple[Ordering, ...]:
    """Return the orderings in which a network can be translated: AlexNet has grouped channels."""
    return ("th",) if name == "alexnet" else ORDERINGS


def keras_network(name: Any, image_shape: tuple[int, int, int]) -> "keras.Model":
    """Return a network whose biases, scales and running statistics are neither 0 nor 1."""
    model = caffe_network(name, image_shape) if name in CAFFE else None
    factor = 1 if name in CAFFE else 2
    model = model or build(ModelConfig(name=name), image_shape, CLASSES, seed=5)
    generator = np.random.default_rng(3)
    weights = [
        weight + generator.uniform(0, 0.1, weight.shape).astype(np.float32)
        if weight.ndim == 1
        else factor * weight
        for weight in model.get_weights()
    ]
    model.set_weights(weights)
    return model


def caffe_network(name: str, image_shape: tuple[int, int, int]) -> "keras.Model":
    """Return a network of Caffe; AlexNet subtracts a value from each channel."""
    text = CAFFE[name](image_shape[0], CLASSES).text
    if name == "alexnet":
        text = text.replace("input_param", f"{MEANS} input_param", 1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "deploy.prototxt"
        path.write_text(text)
        return build(ModelConfig(name="caffe", prototxt=str(path)), image_shape, CLASSES, seed=5)


def pixels(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return images with different patterns instead of noise, which pooling would average out."""
    generator = np.random.default_rng(4)
    coarse = generator.integers(0, 256, (IMAGES, 5, 5, image_shape[2]), dtype=np.uint8)
    rows = np.arange(image_shape[0]) * 5 // image_shape[0]
    columns = np.arange(image_shape[1]) * 5 // image_shape[1]
    return coarse[:, rows][:, :, columns]


def main(target: Path) -> None:
    """Compute all cases with BigDL."""
    from bigdl.dllib.utils.common import init_engine
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.jars", ",".join(jars()))
    session = builder.config("spark.driver.memory", "3g").getOrCreate()
    try:
        init_engine()
        outcomes = {
            (name, image_shape, ordering): forward(keras_network(name, image_shape), ordering)
            for name, image_shape in CASES
            for ordering in orderings(name)
        }
        target.write_bytes(pickle.dumps(outcomes))
    finally:
        session.stop()


def forward(model: "keras.Model", ordering: Ordering) -> Outcome:
    """Predict with BigDL and read the weights back."""
    network = Network(model, ordering)
    network.model.set_evaluate_status()
    images = pixels(model.input_shape[1:]).astype(np.float32)
    ordered = np.ascontiguousarray(np.moveaxis(images, -1, 1)) if ordering == "th" else images
    return network.model.forward(ordered), network.get_weights()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
