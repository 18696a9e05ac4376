"""Features of a prepared data set's splits, computed or read from the cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backends.featurizer import source
from backends.featurizer.cache import FeatureCache
from backends.featurizer.engine import EngineChoice, candidates, choice_of
from backends.featurizer.features import with_features
from backends.featurizer.programs import Program
from backends.polling import polled
from data.prepared import PreparedData
from models.backbones import Backbone

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_POLL_SECONDS = 0.5


class Extraction:
    """Features of one data set by one backbone; engines are exported only on a cache miss."""

    def __init__(
        self,
        spark: "SparkSession",
        data: PreparedData,
        backbone: Backbone,
        *,
        engine: EngineChoice = "auto",
        workers: int = 1,
        cache: FeatureCache | None = None,
    ) -> None:
        self._spark = spark
        self._data = data
        self._backbone = backbone
        self._engine = engine
        self._workers = workers
        self._cache = cache
        #: Number of images processed by the backbone so far; 0 on cache hits.
        self.images = spark.sparkContext.accumulator(0)
        #: One sentence for each remark.
        self.notes: list[str] = []

    def program(self) -> Program:
        """Return the backbone for the chosen engine, exporting it at the first call.

        Raises
        ------
        BackendError
            If no engine can run the backbone.
        """
        choice = choice_of(self._backbone, self._engine)
        program = choice.program
        note = (
            f"Features by {program.engine} in {program.precision}, relative error "
            f"{choice.error:.0e} against Keras in float32."
        )
        self._note(*choice.notes, note)
        return program

    def cached(self, split: str) -> bool:
        """Return whether the cache contains the features of ``split``."""
        return self._cached_key(split) is not None

    def features(self, split: str) -> "DataFrame":
        """Return row (bigint, in the data's order), label and features (array<float>) of a split.

        Without a cache, features are computed at each evaluation of the frame: persist it to use it
        more than once.
        """
        if self._cache is None:
            return self._computed(split)
        key = self._cached_key(split)
        if key is None:
            key = self.program().key
            self._cache.write(key, self._data, split, lambda: self._computed(split))
        else:
            self._note(f"Features of '{split}' come from the cache ({key.partition('-')[2]}).")
        return self._cache.read(self._spark, key, self._data, split)

    def _cached_key(self, split: str) -> str | None:
        """Return the key of the fastest engine whose features are in the cache, else None."""
        if self._cache is None:
            return None
        keys = [candidate.key(self._backbone) for candidate in candidates(self._engine)]
        return next((key for key in keys if self._cache.holds(key, self._data, split)), None)

    def _computed(self, split: str) -> "DataFrame":
        images = source.images(self._spark, self._data, split, self._workers)
        return with_features(images, self.program(), self.images)

    def _note(self, *notes: str) -> None:
        self.notes += [note for note in notes if note not in self.notes]

    @contextmanager
    def reporting(self, progress: Callable[[int], None]) -> Iterator[None]:
        """While the block runs, call ``progress`` from a thread whenever :attr:`images` changes."""
        reported = 0

        def report() -> None:
            nonlocal reported
            if self.images.value != reported:
                reported = self.images.value
                progress(reported)

        with polled(report, _POLL_SECONDS, "featurizer-progress"):
            yield
