"""The contract between the harness and a framework.

A backend says how it synchronises, what it cannot do and which Spark settings it needs; it trains
the network that it is given and returns weights. It never scores itself, never writes a record
and knows no other backend.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from backends.checkpoints import Checkpoint, CheckpointFolder
from backends.epoch import Epoch
from backends.errors import BackendError
from backends.search import Values
from data.imbalance import Imbalance
from data.prepared import PreparedData
from models import ModelConfig, NetworkSpec, OptimizerConfig, checksum, compiled

if TYPE_CHECKING:
    import keras
    from pyspark.sql import SparkSession


class Options(BaseModel):
    """Options of a backend's own; subclasses add fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class TrainingTask:
    """What to train, on what, for how long. The same for every backend of a comparison."""

    data: PreparedData
    model: ModelConfig
    optimizer: OptimizerConfig
    epochs: int
    #: Images per optimiser step over all workers together.
    global_batch_size: int
    #: Executors of one core.
    workers: int
    seed: int
    #: Whether images are shuffled anew each epoch; off only where an exact order is compared.
    shuffle: bool = True
    options: Options = field(default_factory=Options)
    #: With ``sampling``, the shards of ``data`` draw already and a backend need do nothing.
    imbalance: Imbalance = "none"
    #: What a training image of each class must count for all classes to count the same; None
    #: without ``imbalance``.
    class_weights: tuple[float, ...] | None = None
    #: See :attr:`models.NetworkSpec.archive`.
    archive: bytes | None = field(default=None, repr=False)

    @property
    def network(self) -> NetworkSpec:
        """What any process needs to build the network; it holds no data."""
        return NetworkSpec(
            self.model,
            self.data.image_shape,
            len(self.data.class_names),
            self.data.dtype,
            self.archive,
        )

    @property
    def worker_batch_size(self) -> int:
        """Images per step on one worker."""
        return self.global_batch_size // self.workers

    @property
    def loss_weights(self) -> tuple[float, ...] | None:
        """What the loss of an image of each class counts; None counts all the same."""
        return self.class_weights if self.imbalance == "weights" else None

    def build_model(self) -> "keras.Model":
        """Return the uncompiled Keras model with its seeded initial weights."""
        return self.network.build(self.seed)

    def compiled_model(self) -> "keras.Model":
        """Return the Keras model with its initial weights, loss and optimiser."""
        return compiled(self.build_model(), self.optimizer, self.loss_weights)


@dataclass(frozen=True)
class FitResult:
    """What training leaves."""

    #: In the order of ``keras.Model.get_weights()``, float32.
    weights: list[np.ndarray]
    epochs: tuple[Epoch, ...]
    #: Images that went through an optimiser step, all workers and epochs together.
    samples_seen: int
    #: Optimiser steps of one worker, all epochs together.
    steps: int
    #: Deviations that a reader of the result should know, one sentence each.
    notes: tuple[str, ...] = ()


class RunContext:
    """What the harness hands to a backend for one run."""

    def __init__(
        self,
        *,
        spark: "SparkSession | None",
        folder: Path,
        expected_checksum: Callable[[], str] | None = None,
        on_epoch: Callable[[Epoch], None] = lambda _: None,
        on_batch: Callable[[int, int, float], None] = lambda *_: None,
        checkpoints: CheckpointFolder | None = None,
    ) -> None:
        self._spark = spark
        self._checkpoints = checkpoints
        #: Why nothing more was kept, in a sentence; empty while all is well.
        self.checkpoint_failure = ""
        #: A folder on the driver for whatever the backend must write.
        self.folder = folder
        #: Called when an epoch ends.
        self.on_epoch = on_epoch
        #: Called now and then within an epoch: epoch, images so far, mean loss so far.
        self.on_batch = on_batch
        self._expected_checksum = expected_checksum
        self.initial_weights_checksum: str | None = None

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether :meth:`keep` does anything: where gathering a state costs, it is asked first."""
        return self._checkpoints is not None

    def checkpoint(self) -> Checkpoint | None:
        """Return what to go on from, or None to start at the beginning.

        A backend verifies its initial weights all the same, and puts the checkpoint's in their
        place afterwards.
        """
        return self._checkpoints.load() if self._checkpoints else None

    def keep(
        self,
        epochs: Sequence[Epoch],
        weights: Sequence[np.ndarray],
        state: Mapping[str, Sequence[np.ndarray]] = MappingProxyType({}),
    ) -> None:
        """Keep the state after the last of ``epochs``, in place of what was kept before.

        Where it cannot be written, training goes on without.
        """
        if self._checkpoints is None:
            return
        try:
            self._checkpoints.save(Checkpoint(tuple(epochs), weights, state))
        except OSError as error:
            self._checkpoints = None
            self.checkpoint_failure = (
                f"Epoch {epochs[-1].number} and those after it were not kept for --resume: {error}"
            )

    @property
    def spark(self) -> "SparkSession":
        """The Spark session of the run."""
        if self._spark is None:
            raise BackendError("this backend declared that it needs no Spark session")
        return self._spark

    @property
    def has_spark(self) -> bool:
        """Whether the run has a Spark session."""
        return self._spark is not None

    def verify_initial_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Record and check the weights that the framework really starts from.

        Parameters
        ----------
        weights
            Read back from the model that the framework built, in Keras's order and layout.

        Raises
        ------
        BackendError
            When they are not the weights that every backend starts from.
        """
        found = checksum(weights)
        expected = self._expected_checksum() if self._expected_checksum else found
        if found != expected:
            raise BackendError(
                f"the framework starts from other weights ({found[:12]}) than the "
                f"experiment's ({expected[:12]}): the runs would not compare"
            )
        self.initial_weights_checksum = found


class Backend(ABC):
    """One way to train. Subclasses are created without arguments and hold no state of a run."""

    #: As in ``--backend``.
    name: ClassVar[str]
    #: False for backends that train in the driver process alone.
    needs_spark: ClassVar[bool] = True
    #: False for who looks at labels alone.
    reads_pixels: ClassVar[bool] = True
    #: Whether two runs of the same seed give identical weights; see :meth:`repeats`.
    reproducible: ClassVar[bool] = True
    #: Distributions whose versions belong in the record.
    packages: ClassVar[tuple[str, ...]] = ("keras", "tensorflow-cpu")
    #: Whether the framework opens servers, on executors or driver, to which anybody who reaches
    #: them may talk. Such a run gets a network of its own where that can be; else it says so.
    listens_unprotected: ClassVar[bool] = False
    #: Modules that the executors import before training starts.
    executor_modules: ClassVar[tuple[str, ...]] = ()
    #: Options of its own, given as ``--set backend_options.<name>.<option>=<value>``.
    options: ClassVar[type[Options]] = Options
    #: Whether it trains the network with the experiment's optimiser and batches.
    takes_optimizer: ClassVar[bool] = True
    #: Which of its options a search for good settings should vary, and how far.
    tunable: ClassVar[Mapping[str, Values]] = MappingProxyType({})

    @abstractmethod
    def synchronisation(self, task: TrainingTask) -> str:
        """Say in a few words how workers agree on the weights."""

    def repeats(self, options: Options) -> bool:
        """Return whether two runs of the same seed give identical weights with ``options``."""
        return self.reproducible

    def unsupported(self, task: TrainingTask) -> str | None:
        """Return why this task cannot be done, or None. Starts nothing."""
        return None

    def spark_conf(self, task: TrainingTask) -> dict[str, str]:
        """Return Spark settings that this framework needs beside the harness's own."""
        return {}

    def warm_up(self, seed: int) -> None:
        """Import the framework in the driver; its time is not training time.

        Called while the Spark session starts, so it has no session to use.
        """

    @abstractmethod
    def fit(self, task: TrainingTask, context: RunContext) -> FitResult:
        """Train and return the weights."""

    @abstractmethod
    def predict(
        self, task: TrainingTask, weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Return probabilities of the test images, float32 (n, classes), in the data's order."""
