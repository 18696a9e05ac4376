from dataclasses import replace

import numpy as np
from sklearn.metrics import f1_score

from backends.base import TrainingTask
from backends.gradient_boosting import GradientBoostingOptions
from backends.gradient_boosting.image_features import describe
from data.prepared import PreparedData
from tests.backends.conformance import BackendConformance, harness
from tests.backends.trained import Trained

__all__ = ["harness"]

NAME = "gradient_boosting"


class TestGradientBoosting(BackendConformance):
    name = NAME

    @classmethod
    def tasks(cls, prepared: PreparedData) -> list[TrainingTask]:
        """Return the task of the observed run, one without early stopping, and a weighted one."""
        task = cls.task(prepared)
        few = GradientBoostingOptions(rounds=3, patience=None)
        weighted = replace(task, options=few, imbalance="weights", class_weights=(0.01, 2.0))
        return [task, replace(task, options=few), weighted]

    def test_trees_separate_the_classes(
        self, trained: list[Trained], prepared: PreparedData
    ) -> None:
        labels = prepared.shard("test").read().labels
        found = trained[0].probabilities
        assert f1_score(labels, found.argmax(axis=1)) > 0.8

    def test_options_and_class_weights_are_used(self, trained: list[Trained]) -> None:
        _, few, weighted = trained
        assert few.result.steps == weighted.result.steps == 3
        assert weighted.probabilities[:, 1].mean() > few.probabilities[:, 1].mean() + 0.1


def test_features_are_finite_and_of_one_length_for_any_image() -> None:
    generator = np.random.default_rng(0)
    for channels, length in ((1, 47), (3, 67)):
        images = [
            np.zeros((8, 9, channels), np.uint8),
            np.full((8, 9, channels), 255, np.uint8),
            generator.integers(0, 256, (8, 9, channels), np.uint8),
        ]
        found = describe(np.stack(images))
        assert found.shape == (3, length)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_features_tell_color_and_texture_apart() -> None:
    red = np.zeros((1, 16, 16, 3), np.uint8)
    red[..., 0] = 200
    stripes = red.copy()
    stripes[:, ::2] = 0
    plain, striped = describe(np.concatenate([red, stripes]))
    assert plain[:3].tolist() == [200, 0, 0]
    assert striped[0] == 100
    contrast = 2 * 3 + 5 * 3 + 6  # after means, deviations, percentiles and hue
    assert plain[contrast] == 0
    assert striped[contrast] > 0


def test_stored_features_are_used_as_they_are() -> None:
    from backends.gradient_boosting.backend import _described

    stored = np.arange(6, dtype=np.float32).reshape(2, 1, 1, 3)
    assert _described(stored).tolist() == [[0, 1, 2], [3, 4, 5]]
