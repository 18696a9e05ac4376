"""Conformance tests of backends: the test file of a backend inherits from one of two classes.

:class:`BackendConformance` is for any backend, :class:`NetworkConformance` for backends that train
the experiment's Keras network. One run goes through the harness, in a worker process on an
embedded cluster, as the run of a user does, because some frameworks exit the process or do not stop
their servers. The runs that are compared with it share one session.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import experiments
from backends import TrainingTask, create
from backends.refusal import refusal
from data.config import DataConfig
from data.prepared import PreparedData
from experiments.observer import Observer
from experiments.records import FINISHED, RunRecord
from models import ModelConfig, OptimizerConfig, build, checksum
from models.card import NETWORK
from tests.backends.fit_process import train_all
from tests.backends.trained import Trained
from tests.intruder import Intruder

#: Learning rate that changes no float32 weight, so that predictions are those of the untrained
#: network.
STANDSTILL = 1e-30

Harness = Callable[..., RunRecord]
_THREE_EPOCHS = {"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 2e-3}}


@pytest.fixture(scope="module")
def harness(
    data_config: DataConfig, tmp_path_factory: pytest.TempPathFactory, tracking_uri: str
) -> Harness:
    """Return a function that runs one backend on the small data set."""
    work = tmp_path_factory.mktemp("work")

    def run(backend: str, observer: Observer | None = None, **values: Any) -> RunRecord:
        overrides = {
            "name": "conformance",
            "data": data_config.model_dump(mode="json"),
            "epochs": 1,
            "batch_size": 16,
            "optimizer": {"name": "sgd", "learning_rate": 0.01},
            "tracking_uri": tracking_uri,
            "time_limit": 400,
            **values,
        }
        (record,) = experiments.run(
            "synthetic", backends=[backend], overrides=overrides, work=work, observer=observer
        )
        assert record.status == FINISHED, f"{record.reason}\n{record.traceback}"
        return record

    return run


def predictions(record: RunRecord, folder: Path) -> pd.DataFrame:
    """Return the predictions of a record."""
    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, "predictions.parquet", str(folder))
    return pd.read_parquet(path)


def probabilities(record: RunRecord, folder: Path) -> np.ndarray:
    """Return the predicted probabilities of a record, (n, classes)."""
    return predictions(record, folder).filter(like="probability_").to_numpy()


def trained_weights(record: RunRecord, folder: Path) -> list[np.ndarray]:
    """Return the weights of the model of a record."""
    import keras

    client = MlflowClient(record.tracking_uri)
    path = client.download_artifacts(record.run_id, NETWORK, str(folder))
    return keras.saving.load_model(path, safe_mode=True).get_weights()


@dataclass
class Watching(Intruder):
    """Records the events of a run, and attacks it if this account may act as another."""

    events: list[dict[str, Any]] = field(default_factory=list)

    def event(self, event: dict[str, Any]) -> None:
        """Record the event."""
        self.events.append(event)
        if os.geteuid() == 0:
            super().event(event)

    def numbers_of_epochs(self) -> list[int]:
        return [event["number"] for event in self.events if event["event"] == "epoch"]


@pytest.mark.slow
class BackendConformance:
    """Tests of any backend: predictions, counts, progress, repetition, refusals, privacy."""

    def __init_subclass__(cls) -> None:
        # One test process for the class, whose runs are made once.
        cls.pytestmark = [pytest.mark.xdist_group(cls.__name__)]

    #: Name of the backend, or ``package.module:Class``.
    name: ClassVar[str]
    pytestmark: ClassVar[list[pytest.MarkDecorator]]
    #: Options of the backend for these tests.
    options: ClassVar[dict[str, Any]] = {}

    @classmethod
    def run(cls, harness: Harness, observer: Observer | None = None, **values: Any) -> RunRecord:
        """Run the backend through the harness."""
        options = {create(cls.name).name: cls.options}
        return harness(cls.name, observer, backend_options=options, **values)

    @classmethod
    def task(cls, prepared: PreparedData, **values: Any) -> TrainingTask:
        """Return the task of the observed run, with values replaced by ``values``."""
        standard: dict[str, Any] = {
            "data": prepared,
            "model": ModelConfig(),
            "optimizer": OptimizerConfig.model_validate(_THREE_EPOCHS["optimizer"]),
            "epochs": _THREE_EPOCHS["epochs"],
            "global_batch_size": 16,
            "workers": 2,
            "seed": 0,
            "options": create(cls.name).options(**cls.options),
        }
        return TrainingTask(**{**standard, **values})

    @classmethod
    def tasks(cls, prepared: PreparedData) -> list[TrainingTask]:
        """Return the tasks of the session; the first is that of the observed run."""
        return [cls.task(prepared)]

    @pytest.fixture(scope="class")
    @classmethod
    def observed(cls, harness: Harness) -> tuple[RunRecord, Watching]:
        """Run three epochs through the harness."""
        watching = Watching()
        return cls.run(harness, watching, **_THREE_EPOCHS), watching

    @pytest.fixture(scope="class")
    @classmethod
    def trained(
        cls, prepared: PreparedData, tmp_path_factory: pytest.TempPathFactory
    ) -> list[Trained]:
        """Train the tasks of :meth:`tasks` in one session."""
        folder = tmp_path_factory.mktemp("session")
        return train_all(cls.name, cls.tasks(prepared), folder, time_limit=400)

    def test_predictions_are_probabilities_of_every_test_image_in_order(
        self, observed: tuple[RunRecord, Watching], prepared: PreparedData, tmp_path: Path
    ) -> None:
        table = predictions(observed[0], tmp_path)
        assert table["image_id"].tolist() == prepared.shard("test").read().image_ids
        found = table.filter(like="probability_").to_numpy()
        assert found.min() >= 0
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)

    def test_every_sample_is_counted_or_a_note_reports_those_left_out(
        self, observed: tuple[RunRecord, Watching], prepared: PreparedData
    ) -> None:
        record, _ = observed
        whole = max(1, len(record.epochs)) * prepared.rows("train")
        if record.metrics["train.samples_seen"] != whole:
            assert record.notes, "samples were left out without a note"
            assert 0.7 * whole < record.metrics["train.samples_seen"] < whole

    def test_progress_is_reported(self, observed: tuple[RunRecord, Watching]) -> None:
        record, watching = observed
        phases = [event["name"] for event in watching.events if event["event"] == "phase"]
        more = phases[phases.index("fit") :]
        validation = ["predict_validation"] if create(self.name).trains != "nothing" else []
        checked = record.tags["initial_weights.checksum"] != "none"
        saving = ["save_model"] if checked else []
        assert more == ["fit", "predict", *validation, *saving]
        assert watching.numbers_of_epochs() == [epoch["number"] for epoch in record.epochs]

    def test_same_seed_gives_the_same_result(
        self, observed: tuple[RunRecord, Watching], trained: list[Trained], tmp_path: Path
    ) -> None:
        backend = create(self.name)
        tolerance = 0.0 if backend.repeats(backend.options(**self.options)) else 0.25
        first, second = probabilities(observed[0], tmp_path), trained[0].probabilities
        np.testing.assert_allclose(second, first, rtol=0, atol=tolerance)

    def test_refusal_is_a_reason(self, prepared: PreparedData) -> None:
        """Test the task of the other tests, and one with a batch that no worker can fill."""
        backend = create(self.name)
        assert refusal(backend, self.task(prepared)) is None
        reason = refusal(backend, self.task(prepared, global_batch_size=2**20))
        assert reason is None or reason.strip() == reason != ""

    def test_no_other_account_can_access_a_run_while_it_trains(
        self, observed: tuple[RunRecord, Watching]
    ) -> None:
        """No server accepts another account, no file can be read, and no secret is visible."""
        if os.geteuid() != 0:
            pytest.skip("only root can act as another account")
        record, intruder = observed
        if not record.epochs:
            pytest.skip("the backend has no epochs during which it could be attacked")
        assert intruder.processes, "no epoch was reported, so nothing was tried"
        assert intruder.got_in == []
        assert [listener for listener in intruder.listeners if listener.shared] == []
        if create(self.name).needs_spark:
            assert intruder.listeners, "the servers of Spark were not found"
            assert record.tags["network"] == "private"


class NetworkConformance(BackendConformance):
    """Tests of a backend that trains the experiment's Keras network."""

    @classmethod
    def tasks(cls, prepared: PreparedData) -> list[TrainingTask]:
        """Return the task of the observed run, and one that does not change the network."""
        standstill = OptimizerConfig(name="sgd", learning_rate=STANDSTILL)
        return [cls.task(prepared), cls.task(prepared, epochs=1, optimizer=standstill)]

    def test_training_starts_from_the_experiments_weights(
        self, observed: tuple[RunRecord, Watching], prepared: PreparedData
    ) -> None:
        weights = build(ModelConfig(), prepared.image_shape, 2, seed=0).get_weights()
        assert observed[0].tags["initial_weights.checksum"] == checksum(weights)

    def test_untrained_network_predicts_as_keras_does(
        self, trained: list[Trained], prepared: PreparedData
    ) -> None:
        """The forward pass is the same, and weights have the order and layout of Keras."""
        model = build(ModelConfig(), prepared.image_shape, 2, seed=0)
        untrained = trained[1]
        assert untrained.initial_weights_checksum == checksum(model.get_weights())
        expected = model.predict(prepared.shard("test").read().pixels, verbose=0)
        np.testing.assert_allclose(untrained.probabilities, expected, atol=1e-5)
        for one, other in zip(untrained.result.weights, model.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=STANDSTILL)

    def test_losses_fall(self, observed: tuple[RunRecord, Watching]) -> None:
        epochs = observed[0].epochs
        assert epochs[-1]["loss"] < epochs[0]["loss"]
        assert epochs[-1]["validation_loss"] < np.log(2)

    def test_recorded_network_gives_the_recorded_predictions(
        self, observed: tuple[RunRecord, Watching], prepared: PreparedData, tmp_path: Path
    ) -> None:
        weights = trained_weights(observed[0], tmp_path)
        model = build(ModelConfig(), prepared.image_shape, 2, seed=0)
        model.set_weights(weights)
        expected = model.predict(prepared.shard("test").read().pixels, verbose=0)
        np.testing.assert_allclose(probabilities(observed[0], tmp_path), expected, atol=1e-5)
