"""The weighted loss equals that of Keras with ``class_weight``."""

import numpy as np

from models import ModelConfig, OptimizerConfig, build, compiled
from models.losses import WeightedCrossEntropy

WEIGHTS = (0.25, 1.75)


def test_training_equals_class_weight_of_keras() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (12, 24, 24, 3)).astype(np.float32)
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1])
    config = OptimizerConfig(name="sgd", learning_rate=0.1)
    own, keras_own = (build(ModelConfig(dropout=0.0), (24, 24, 3), 2, 0) for _ in range(2))
    compiled(own, config, WEIGHTS)
    compiled(keras_own, config)
    for _ in range(3):
        loss = own.train_on_batch(pixels, labels)
        expected = keras_own.train_on_batch(pixels, labels, class_weight=dict(enumerate(WEIGHTS)))
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for one, other in zip(own.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_loss_can_be_made_again_from_its_configuration() -> None:
    loss = WeightedCrossEntropy(WEIGHTS)
    again = WeightedCrossEntropy.from_config(loss.get_config())
    labels, probabilities = np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]], np.float32)
    expected = (0.25 * np.log(2) + 1.75 * np.log(4)) / 2
    np.testing.assert_allclose(
        [loss(labels, probabilities), again(labels, probabilities)], expected
    )
