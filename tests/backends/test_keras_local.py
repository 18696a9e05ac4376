from pathlib import Path

import numpy as np
import pytest

from backends.base import RunContext
from backends.keras_local import KerasLocal
from data.prepared import PreparedData
from data.shards import ShardReader
from models import OptimizerConfig
from tests.backends.all_reduce_checks import task
from tests.backends.conformance import NetworkConformance, harness

__all__ = ["harness"]


class TestKerasLocal(NetworkConformance):
    name = "keras_local"


@pytest.mark.slow
def test_steps_of_adam_are_those_of_single_batches(prepared: PreparedData, tmp_path: Path) -> None:
    """The reference for all other backends takes exactly one step for each batch."""
    asked = task(prepared, epochs=3, optimizer=OptimizerConfig(name="adam", learning_rate=1e-3))
    fitted = KerasLocal().fit(asked, RunContext(spark=None, folder=tmp_path))
    model, reader = asked.compiled_model(), ShardReader(prepared.shard("train"))
    steps = 0
    for epoch in range(1, 4):
        for pixels, labels in reader.batches(16, seed=asked.seed, epoch=epoch):
            model.train_on_batch(pixels, labels)
            steps += 1
    assert fitted.steps == steps
    for one, other in zip(fitted.weights, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
