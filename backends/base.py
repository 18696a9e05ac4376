"""Interface between the harness and a framework.

A backend declares how it synchronizes its workers, which tasks it does not support and which Spark
settings it needs; it trains the given network and returns the weights. It neither computes scores
nor writes records, and does not depend on other backends.
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

#: Model that a backend trains: the experiment's Keras network with the experiment's optimizer and
#: batches, a different model of the framework, or none.
Trains = Literal["network", "own model", "nothing"]


@dataclass(frozen=True)
class TrainingTask(Generic[OptionsT]):
    """Data, network, optimizer and length of training; the same for all compared backends."""

    data: PreparedData
    model: ModelConfig
    optimizer: OptimizerConfig
    epochs: int
    #: Images per optimizer step, summed over all workers.
    global_batch_size: int
    #: Number of executors; each has one core.
    workers: int
    seed: int
    #: True to reshuffle the images in each epoch; False only where an exact order is compared.
    shuffle: bool = True
    #: Options of the backend, an instance of the class in ``Backend[...]``.
    options: OptionsT = field(default_factory=cast("Callable[[], Any]", Options))
    #: With ``sampling``, the shards of ``data`` already resample; a backend need not do anything.
    imbalance: Imbalance = "none"
    #: Weight of a training image of each class that gives all classes the same total weight; None
    #: without ``imbalance``.
    class_weights: tuple[float, ...] | None = None
    #: See :attr:`models.NetworkSpec.archive`.
    archive: bytes | None = field(default=None, repr=False)

    @property
    def network(self) -> NetworkSpec:
        """Specification from which any process can build the network; it contains no data."""
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
        """Weight of the loss of an image of each class; None if all weights are equal."""
        return self.class_weights if self.imbalance == "weights" else None

    def build_model(self) -> "keras.Model":
        """Return the uncompiled Keras model with its seeded initial weights."""
        return self.network.build(self.seed)

    def compiled_model(self) -> "keras.Model":
        """Return the Keras model with its initial weights, loss and optimizer."""
        return compiled(self.build_model(), self.optimizer, self.loss_weights)


@dataclass(frozen=True)
class FitResult:
    """Result of training."""

    #: Trained weights in the order of ``keras.Model.get_weights()``, float32.
    weights: list[np.ndarray]
    epochs: tuple[Epoch, ...]
    #: Images used in optimizer steps, summed over all workers and epochs.
    samples_seen: int
    #: Optimizer steps of one worker, summed over all epochs.
    steps: int
    #: Deviations that a reader of the result should be aware of, one sentence each.
    notes: tuple[str, ...] = ()


class RunContext:
    """Resources and callbacks that the harness provides to a backend for one run."""

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
        #: Reason why checkpoints are no longer saved, as a sentence; empty if there is none.
        self.checkpoint_failure = ""
        #: Folder on the driver for files of the backend.
        self.folder = folder
        #: Called when an epoch ends.
        self.on_epoch = on_epoch
        #: Called repeatedly within an epoch with the epoch, the number of images so far and the
        #: mean loss so far.
        self.on_batch = on_batch
        self._expected_checksum = expected_checksum
        self.initial_weights_checksum: str | None = None

    @property
    def keeps_checkpoints(self) -> bool:
        """True if :meth:`keep` saves checkpoints; check it where collecting a state is costly."""
        return self._checkpoints is not None

    def checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint from which to resume, or None to start at the beginning.

        A backend that resumes verifies its initial weights nevertheless, and replaces them with
        those of the checkpoint afterwards.
        """
        return self._checkpoints.load() if self._checkpoints else None

    def keep(
        self,
        epochs: Sequence[Epoch],
        weights: Sequence[np.ndarray],
        state: Mapping[str, Sequence[np.ndarray]] = MappingProxyType({}),
    ) -> None:
        """Save the state after the last of ``epochs``, replacing the previous checkpoint.

        If it cannot be written, training continues without checkpoints.

        Parameters
        ----------
        epochs
            All epochs so far.
        weights
            Weights in the order of ``keras.Model.get_weights()``.
        state
            Further arrays that are needed to resume, by name.
        """
        if self._checkpoints is None:
            return
        try:
            self._checkpoints.save(Checkpoint(tuple(epochs), weights, state))
        except OSError as error:
            self._checkpoints = None
            self.checkpoint_failure = (
                f"Epoch {epochs[-1].number} and later epochs were not saved for --resume: {error}"
            )

    @property
    def spark(self) -> "SparkSession":
        """Spark session of the run."""
        if self._spark is None:
            raise BackendError("this backend declared that it needs no Spark session")
        return self._spark

    @property
    def has_spark(self) -> bool:
        """True if the run has a Spark session."""
        return self._spark is not None

    def verify_initial_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Record and check the weights from which the framework actually starts.

        Parameters
        ----------
        weights
            Weights read back from the model that the framework built, in the order and layout of
            Keras.

        Raises
        ------
        BackendError
            If they differ from the initial weights of the experiment.
        """
        found = checksum(weights)
        expected = self._expected_checksum() if self._expected_checksum else found
        if found != expected:
            raise BackendError(
                f"the framework starts from different weights ({found[:12]}) than the experiment "
                f"({expected[:12]}): the runs would not be comparable"
            )
        self.initial_weights_checksum = found


class Backend(ABC, Generic[OptionsT]):
    """Base class of backends, with the class of their options in brackets: ``Backend[MyOptions]``.

    Subclasses are instantiated without arguments and have no state that belongs to a run.
    """

    #: Name in ``--backend``, in tables, in options and in the record.
    name: ClassVar[str]
    #: False for backends that train only in the driver process.
    needs_spark: ClassVar[bool] = True
    trains: ClassVar[Trains] = "network"
    #: True if two runs with the same seed give identical weights; see :meth:`repeats`.
    reproducible: ClassVar[bool] = True
    #: Distributions whose versions are recorded.
    packages: ClassVar[tuple[str, ...]] = ("keras", "tensorflow-cpu")
    #: True if the framework opens servers, on executors or driver, that accept every connection.
    #: Such a run gets a private network if the system allows it, and a note otherwise.
    listens_unprotected: ClassVar[bool] = False
    #: Modules that the executors import before training starts.
    executor_modules: ClassVar[tuple[str, ...]] = ()
    #: Class in ``Backend[...]``; options are set with
    #: ``--set backend_options.<name>.<option>=<value>``.
    options: ClassVar[type[Options]] = Options
    #: Options that ``tune`` varies, with the values to try.
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
        """Return a phrase that describes how workers synchronize their weights."""

    def repeats(self, options: OptionsT) -> bool:
        """Return whether two runs with the same seed give identical weights with ``options``."""
        return self.reproducible

    def unsupported(self, task: TrainingTask[OptionsT]) -> str | None:
        """Return why this task cannot be trained, or None.

        This method is called in the parent process before anything starts, so it must be fast: it
        must neither import a framework nor build a network.
        """
        return None

    def unsupported_network(self, task: TrainingTask[OptionsT]) -> str | None:
        """Return why the framework cannot train the network of ``task``, or None.

        This method is called in the worker process, where it may import Keras and build the
        network.
        """
        return None

    def spark_conf(self, task: TrainingTask[OptionsT]) -> dict[str, str]:
        """Return Spark settings that this framework needs in addition to those of the harness."""
        return {}

    def warm_up(self, seed: int) -> None:
        """Import the framework in the driver, before training time is measured.

        This method is called while the Spark session starts, so it cannot use the session.
        """

    @abstractmethod
    def fit(self, task: TrainingTask[OptionsT], context: RunContext) -> FitResult:
        """Train and return the weights."""

    @abstractmethod
    def predict(
        self, task: TrainingTask[OptionsT], weights: Sequence[np.ndarray], context: RunContext
    ) -> np.ndarray:
        """Return class probabilities of the test images, in the order of the data.

        Returns
        -------
        numpy.ndarray
            Float32, shape (n, classes).
        """
