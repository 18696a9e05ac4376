from pathlib import Path

import numpy as np

from backends.base import RunContext
from backends.majority import Majority
from data.prepared import PreparedData
from tests.backends.conformance import BackendConformance, harness

__all__ = ["harness"]


class TestMajority(BackendConformance):
    name = "majority"


def test_probabilities_are_the_class_prior(prepared: PreparedData, tmp_path: Path) -> None:
    asked = TestMajority.task(prepared)
    context = RunContext(spark=None, folder=tmp_path)
    fitted = Majority().fit(asked, context)
    labels = prepared.index("train").column("label").to_numpy()
    prior = [np.mean(labels == number) for number in range(2)]
    found = Majority().predict(asked, fitted.weights, context)
    np.testing.assert_allclose(found, np.tile(prior, (len(found), 1)), atol=1e-6)
