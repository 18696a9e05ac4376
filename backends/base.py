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
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

import numpy as np
from pydantic import BaseModel, ConfigDict

from backends.checkpoints import Checkpoint, CheckpointFolder
from backends.epoch import Epoch
from backends.errors import BackendError
from backends.search import Tunable
from data.imbalance import Imbalance
from data.prepared import PreparedData
from models import ModelConfig, NetworkSpec, OptimizerConfig, checksum, compiled

if TYPE_CHECKING:
    import keras
    from pyspark.sql import SparkSession


class Options(BaseModel):
    """Options of one backend; subclasses add fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OptionsT = TypeVar("OptionsT", bound=Options)

#: What a backend trains: the experiment's Keras network with the experiment's optimizer and
#: batches, a model of the framework's own, or nothing.
Trains = Literal["network", "own model", "nothing"]


@dataclass(frozen=True)
class TrainingTask(Generic[OptionsT]):
    """Data, network, optimizer and length of a training; the same for all compared backends."""

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
    #: Options of the backend, of the class in ``Backend[...]``.
    options: OptionsT = field(default_factory=cast("Callable[[], Any]", Options))
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


class Backend(ABC, Generic[OptionsT]):
    """One way to train, with the class of its options in brackets: ``Backend[MyOptions]``.

    Subclasses are created without arguments and hold no state of a run.
    """

    #: Name in ``--backend``, in tables, in options and in the record.
    name: ClassVar[str]
    #: False for backends that train in the driver process alone.
    needs_spark: ClassVar[bool] = True
    trains: ClassVar[Trains] = "network"
    #: True if two runs with the same seed give identical weights; see :meth:`repeats`.
    reproducible: ClassVar[bool] = True
    #: Distributions whose versions belong in the record.
    packages: ClassVar[tuple[str, ...]] = ("keras", "tensorflow-cpu")
    #: True if the framework opens servers, on executors or driver, that accept every connection.
    #: Such a run gets a private network where the system allows it; otherwise a note says so.
    listens_unprotected: ClassVar[bool] = False
    #: Modules that the executors import before training starts.
    executor_modules: ClassVar[tuple[str, ...]] = ()
    #: Class in ``Backend[...]``; given as ``--set backend_options.<name>.<option>=<value>``.
    options: ClassVar[type[Options]] = Options
    #: Options that ``tune`` varies, with the values that it tries.
    tunable: ClassVar[Tunable] = MappingProxyType({})

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in cls.__dict__.get("__orig_bases__", ()):
            kind, arguments = get_origin(base), get_args(base)
            if isinstance(kind, type) and issubclass(kind, Backend) and arguments:
                (options,) = arguments
                if isinstance(options, type):
                    cls.options = options

    @abstractmethod
    def synchronisation(self, task: TrainingTask[OptionsT]) -> str:
        """Describe in a few words how workers agree on the weights."""

    def repeats(self, options: OptionsT) -> bool:
        """Return whether two runs with the same seed give identical weights with ``options``."""
        return self.reproducible

    def unsupported(self, task: TrainingTask[OptionsT]) -> str | None:
        """Return why this task cannot be trained, or None.

        Called in the parent process before anything starts, so it must be quick: it imports no
        framework and needs no network.
        """
        return None

    def unsupported_network(self, task: TrainingTask[OptionsT]) -> str | None:
        """Return why the framework cannot train the network of ``task``, or None.

        Called in the worker process, where Keras may be imported and the network built.
        """
        return None

    def spark_conf(self, task: TrainingTask[OptionsT]) -> dict[str, str]:
        """Return Spark settings that this framework needs in addition to the harness's own."""
        return {}

    def warm_up(self, seed: int) -> None:
        """Import the framework in the driver; its time is not training time.

        Called while the Spark session starts, so it has no session to use.
        """

    @abstractmethod
    def fit(self, task: TrainingTask[OptionsT], context: RunContext) -> FitResult:
        """Train and return the weights."""

    @abstractmethod
    def predict(
        self, task: TrainingTask[OptionsT], weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Return probabilities of the test images, float32 (n, classes), in the data's order."""
