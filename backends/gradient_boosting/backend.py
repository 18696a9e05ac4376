"""XGBoost on Spark: gradient-boosted trees on simple features of the images.

Each executor describes its images by color and texture, and trains on them; the workers add their
histograms of gradients after each level of a tree. With a frozen backbone (``--model transfer``),
the features of the backbone are used instead.
"""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.executors import NO_RETRIES
from backends.search import Choices, Range, Tunable
from data.shards import Shard

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_SCHEMA = "label int, weight float, validation boolean, features array<float>"


class GradientBoostingOptions(Options):
    """Settings of XGBoost that matter most, with its other defaults."""

    #: Maximum number of rounds, each of which adds a tree (with more than two classes, one for
    #: each class).
    rounds: Annotated[int, Field(ge=1)] = 300
    #: Maximum depth of a tree.
    depth: Annotated[int, Field(ge=1)] = 4
    #: Factor by which each tree is scaled.
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    #: Number of rounds without a lower validation loss after which training stops; the rounds up
    #: to the best one are kept. None trains all rounds and keeps them.
    patience: Annotated[int, Field(ge=1)] | None = 30


Task = TrainingTask[GradientBoostingOptions]


class GradientBoosting(Backend[GradientBoostingOptions]):
    """``SparkXGBClassifier`` with one worker on each executor."""

    name = "gradient_boosting"
    trains = "own model"
    packages = ("xgboost-cpu", "scikit-image", "pyspark")
    executor_modules = ("pandas", "xgboost.spark", "skimage.feature", "skimage.color")
    #: The tracker and the workers of XGBoost require no password.
    listens_unprotected = True
    tunable: ClassVar[Tunable] = {
        "depth": Choices((2, 3, 4, 6, 8)),
        "learning_rate": Range(0.02, 0.5, log=True),
    }

    def synchronisation(self, task: Task) -> str:
        """Return that histograms of gradients are summed."""
        return "histograms of gradients summed over all workers at every level of a tree"

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Disable retries: a worker cannot restart alone, since the others have continued."""
        return dict(NO_RETRIES)

    def warm_up(self, seed: int) -> None:
        """Import XGBoost, while the executors do the same."""
        import xgboost.spark  # noqa: F401

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Describe the images on the executors, and train on the features."""
        options, rows = task.options, task.data.rows("train")
        started = perf_counter()
        frame = _features(task, context).persist()
        found = frame.filter("NOT validation").count()
        if found != rows:
            raise RuntimeError(f"{found} of {rows} training images have features")
        described = perf_counter() - started
        context.on_batch(1, rows, float("nan"))
        model = _estimator(task, context).fit(frame)
        seconds = perf_counter() - started
        frame.unpersist()
        history = model.training_summary
        (losses,) = history.train_objective_history.values()
        validated = [*history.validation_objective_history.values()]
        best = int(np.argmin(validated[0])) if validated and options.patience else len(losses) - 1
        booster = model.get_booster()[: best + 1]
        validation = float(validated[0][best]) if validated else None
        epoch = Epoch(1, float(losses[best]), validation, rows, seconds)
        context.on_epoch(epoch)
        return FitResult(
            weights=[np.frombuffer(bytes(booster.save_raw("ubj")), np.uint8)],
            epochs=(epoch,),
            samples_seen=rows,
            steps=best + 1,
            notes=_notes(task, best + 1, described, seconds - described),
        )

    def predict(self, task: Task, weights: Sequence[np.ndarray], context: RunContext) -> np.ndarray:
        """Describe the test images on the executors and apply the trees there."""
        model = weights[0].tobytes()
        classes = len(task.data.class_names)

        def run(shards: Iterator[Shard]) -> Iterator[np.ndarray]:
            from xgboost import Booster

            booster = Booster({"nthread": 1}, model_file=bytearray(model))
            for shard in shards:
                for block in shard.blocks():
                    yield _probabilities(booster.inplace_predict(_described(block.pixels)))

        slices = task.data.row_slices("test", task.workers)
        spark = context.spark.sparkContext
        blocks = spark.parallelize(slices, len(slices)).mapPartitions(run).collect()
        return np.concatenate([np.empty((0, classes), np.float32), *blocks])


def _probabilities(found: np.ndarray) -> np.ndarray:
    """Return (n, classes) from what XGBoost predicts: with two classes, that of the second."""
    if found.ndim == 2:
        return found.astype(np.float32)
    return np.stack([1 - found, found], axis=1).astype(np.float32)


def _described(pixels: np.ndarray) -> np.ndarray:
    """Return the features (n, features) of pixels; stored features are returned as they are."""
    if pixels.dtype == np.float32:
        return pixels.reshape(len(pixels), -1)
    from backends.gradient_boosting.image_features import describe

    return describe(pixels)


def _features(task: Task, context: RunContext) -> "DataFrame":
    """Return the features of the training and validation images, one partition for each worker."""
    weights = np.ones(len(task.data.class_names), np.float32)
    if task.class_weights is not None:
        weights[:] = task.class_weights
    parts = {
        False: [*task.data.patient_shards("train", task.workers)],
        True: [*task.data.row_slices("validation", task.workers)],
    }

    def read(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        for batch in batches:
            for number in batch.column("id").to_pylist():
                for validation, shards in parts.items():
                    if number < len(shards):
                        yield from _rows(shards[number], weights, validation=validation)

    frame = context.spark.range(0, task.workers, 1, task.workers)
    return frame.mapInArrow(read, _SCHEMA)


def _rows(shard: Shard, weights: np.ndarray, *, validation: bool) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for block in shard.blocks():
        columns = {
            "label": pa.array(block.labels, pa.int32()),
            "weight": pa.array(weights[block.labels], pa.float32()),
            "validation": pa.array([validation] * len(block)),
            "features": pa.array([*_described(block.pixels)], pa.list_(pa.float32())),
        }
        yield pa.RecordBatch.from_pydict(columns)


def _estimator(task: Task, context: RunContext) -> Any:
    from xgboost.collective import Config
    from xgboost.spark import SparkXGBClassifier

    options = task.options
    has_validation = task.data.rows("validation") > 0
    conf = context.spark.sparkContext.getConf()
    further: dict[str, Any] = {}
    if has_validation:
        further["validation_indicator_col"] = "validation"
        further["early_stopping_rounds"] = options.patience
    return SparkXGBClassifier(
        features_col="features",
        label_col="label",
        weight_col="weight",
        num_workers=task.workers,
        n_estimators=options.rounds,
        max_depth=options.depth,
        learning_rate=options.learning_rate,
        random_state=task.seed,
        verbosity=0,
        launch_tracker_on_driver=True,
        coll_cfg=Config(tracker_host_ip=conf.get("spark.driver.host")),
        **further,
    )


def _notes(task: Task, rounds: int, described: float, trained: float) -> tuple[str, ...]:
    what = "features of the frozen backbone"
    if task.data.dtype != "float32":
        what = "color and texture of the images"
    options = task.options
    notes = [
        f"No network is trained: {rounds} rounds of gradient-boosted trees (depth "
        f"{options.depth}, learning rate {options.learning_rate:g}) on the {what}.",
        "The experiment's network, epochs, batch size and optimizer do not apply; the single epoch "
        "is the whole fit.",
        f"Features took {described:.1f} s, the trees {trained:.1f} s.",
    ]
    if task.imbalance == "sampling":
        notes.append(
            "Images are not resampled: each is weighted by how often it would be drawn on average."
        )
    if task.model.augmentation:
        notes.append("Images are not augmented.")
    return tuple(notes)
