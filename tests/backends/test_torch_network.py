"""The forward pass in PyTorch equals that of Keras on TensorFlow, and so do its gradients."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("torch", reason="needs 'uv sync --group torch_distributor'")
pytestmark = [pytest.mark.slow, pytest.mark.long]

#: Trains five steps of SGD with the library in ``KERAS_BACKEND``, and saves what is compared.
PROGRAM = """
import json, sys
import numpy as np
import keras
import models
from tests.backends.networks import NETWORKS

name, dtype, path = sys.argv[1:]
keras.config.set_floatx(dtype)
model, optimizer = NETWORKS[name](), keras.optimizers.SGD(0.01)
optimizer.build(model.trainable_variables)
generator = np.random.default_rng(0)
pixels = generator.integers(0, 256, (40, *model.input_shape[1:]), np.uint8)
labels = generator.integers(0, 2, 40).astype(np.int32)
loss = keras.losses.get(models.LOSS)
variables = model.trainable_variables
if keras.backend.backend() == "torch":
    import torch
    from backends.torch_network import TorchNetwork

    network = TorchNetwork(model)

    def forward(pixels):
        return network.eval()(torch.from_numpy(pixels)).detach().numpy()

    def step(pixels, labels):
        network.train().zero_grad()
        found = network(torch.from_numpy(pixels))
        loss(torch.from_numpy(labels), found).mean().backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in variables], variables)
else:
    import tensorflow as tf

    def forward(pixels):
        return model(tf.cast(pixels, dtype), training=False).numpy()

    def step(pixels, labels):
        with tf.GradientTape() as tape:
            total = tf.reduce_mean(loss(labels, model(tf.cast(pixels, dtype), training=True)))
        optimizer.apply(tape.gradient(total, variables), variables)

arrays = {"forward": forward(pixels)}
arrays |= {f"start.{i}": value for i, value in enumerate(model.get_weights())}
for start in range(0, 40, 8):
    step(pixels[start : start + 8], labels[start : start + 8])
arrays |= {f"end.{i}": value for i, value in enumerate(model.get_weights())}
np.savez(path, **arrays)
"""


def trained(library: str, name: str, dtype: str, folder: Path) -> dict[str, np.ndarray]:
    path = folder / f"{library}.npz"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, name, dtype, str(path)],
        check=True,
        env={**os.environ, "KERAS_BACKEND": library, "PYTHONPATH": str(ROOT)},
    )
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ["small_cnn", "lesion_cnn", "mini_xception", "layers", "nested"])
def test_five_steps_equal_those_of_tensorflow(name: str, tmp_path: Path) -> None:
    """In float64, where rounding does not hide a different gradient."""
    expected = trained("tensorflow", name, "float64", tmp_path)
    found = trained("torch", name, "float64", tmp_path)
    assert found.keys() == expected.keys()
    moved = 0.0
    for key, value in expected.items():
        assert value.dtype == np.float64
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-7, err_msg=key)
        if key.startswith("end."):
            moved = max(moved, np.abs(value - expected[f"start.{key[4:]}"]).max())
    assert moved > 1e-4, json.dumps({"moved": moved})
