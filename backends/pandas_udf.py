"""Features from a frozen backbone in a pandas UDF, and Spark MLlib's logistic regression on them.

MLlib adds up the executors' partial sums in the order in which they arrive: with three workers or
more, two runs of one seed differ in the last digits of the weights.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, field_validator

from backends import executors, inference
from backends.base import Backend, FitResult, Options, RunContext, TrainingTask
from backends.epoch import Epoch
from backends.featurizer import classifier, features, source
from backends.featurizer.cache import FeatureCache
from backends.featurizer.classifier import PRESETS, ClassifierConfig, Fitted, PresetName
from backends.featurizer.engine import EngineChoice, backbone_of
from backends.featurizer.extraction import Extraction
from backends.featurizer.precomputed import Precomputed
from backends.search import Range, Tunable
from models.backbones import Backbone
from models.config import BackboneConfig

_NO_LOSS = float("nan")


class PandasUdfOptions(Options):
    """Which features, and which classifier on them."""

    #: None is the experiment's own CNN with its initial weights: random convolutions, which need
    #: no download and are a baseline of their own.
    backbone: BackboneConfig | None = None
    engine: EngineChoice = "auto"
    #: ``seed``: maxIter 5, regParam 0.03, elasticNetParam 0.5, as in the first reports on this
    #: method. Single values below are stronger.
    preset: PresetName = "default"
    max_iter: Annotated[int, Field(ge=1)] | None = None
    reg_param: Annotated[float, Field(ge=0)] | None = None
    elastic_net: Annotated[float, Field(ge=0, le=1)] | None = None
    #: A folder that driver and executors share, where features are kept for later runs.
    cache: str | None = None
    #: Pixels that a Python worker is handed at once.
    batch_bytes: Annotated[int, Field(ge=1)] = features.BATCH_BYTES

    @field_validator("cache")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError(f"'{value}': the cache is a folder, Spark alone has no object store")
        return value

    @property
    def classifier(self) -> ClassifierConfig:
        """The preset with the values that were given."""
        preset = PRESETS[self.preset]
        return ClassifierConfig(
            preset.max_iter if self.max_iter is None else self.max_iter,
            preset.reg_param if self.reg_param is None else self.reg_param,
            preset.elastic_net if self.elastic_net is None else self.elastic_net,
        )


Task = TrainingTask[PandasUdfOptions]


class PandasUdf(Backend[PandasUdfOptions]):
    """A frozen backbone on the executors; only the last layer is trained."""

    name = "pandas_udf"
    reproducible = False
    packages = ("keras", "openvino", "pyspark", "tensorflow-cpu")
    executor_modules = ("pandas", "backends.featurizer.features")
    trains = "own model"
    tunable: ClassVar[Tunable] = {
        "reg_param": Range(1e-5, 1.0, log=True),
        "elastic_net": Range(0.0, 1.0),
    }

    def synchronisation(self, task: Task) -> str:
        """MLlib's optimiser runs on the driver."""
        return "frozen backbone; gradients of the last layer summed on the driver (L-BFGS)"

    def unsupported(self, task: Task) -> str | None:
        """Refuse what can be seen without importing Keras."""
        options = task.options
        config = options.backbone
        if config is not None and config.is_file and not config.path.is_file():
            return f"there is no backbone file {config.path}"
        if config is not None and task.data.dtype == "float32":
            return "the experiment's model names the backbone: leave backbone_options' one out"
        if options.engine == "openvino" and find_spec("openvino") is None:
            return "openvino is not installed: run 'uv sync --group pandas_udf' or use engine keras"
        return None

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Bound batches in bytes, divide small files among all workers, go round one that fails."""
        return {
            **executors.try_elsewhere(task.workers),
            **source.spark_conf(task.workers),
            **features.spark_conf(task.data.image_bytes, task.options.batch_bytes),
        }

    def warm_up(self, seed: int) -> None:
        """Import Keras."""
        import keras

        keras.utils.set_random_seed(seed)

    def fit(self, task: Task, context: RunContext) -> FitResult:
        """Featurize the training images, fit the classifier, compute the validation loss."""
        extraction = _extraction(task, context)
        body = _frozen_weights(task, context) if task.options.backbone is None else []
        if isinstance(extraction, Extraction) and not extraction.cached("train"):
            modules = ("backends.featurizer.programs", extraction.program().engine)
            inference.import_on_executors(context, task.workers, *modules)
        rows = task.data.rows("train")
        started = perf_counter()
        train = extraction.features("train").persist()
        with (
            source.naming_damaged_files(task.data, "train"),
            extraction.reporting(lambda images: context.on_batch(1, images, _NO_LOSS)),
        ):
            found = train.count()
        if found != rows:
            raise RuntimeError(f"{found} of {rows} training images have features")
        featurized = perf_counter() - started
        # As few partitions as workers: each is a task in every iteration.
        fitted = classifier.fit(
            train.coalesce(task.workers),
            task.options.classifier,
            len(task.data.class_names),
            task.class_weights,
        )
        seconds = perf_counter() - started
        train.unpersist()
        epoch = Epoch(
            1, fitted.objective, _validation_loss(task, extraction, fitted), rows, seconds
        )
        context.on_epoch(epoch)
        return FitResult(
            weights=[*body, fitted.kernel, fitted.bias],
            epochs=(epoch,),
            samples_seen=rows,
            steps=fitted.iterations,
            notes=_notes(task, extraction, fitted, featurized, seconds - featurized),
        )

    def predict(self, task: Task, weights: Sequence[np.ndarray], context: RunContext) -> np.ndarray:
        """Featurize the test images and apply the classifier; the driver gets probabilities."""
        frame = _extraction(task, context).features("test")
        with source.naming_damaged_files(task.data, "test"):
            return features.probabilities(frame, weights[-2], weights[-1], task.data.rows("test"))


def _backbone(task: Task) -> Backbone:
    config = task.options.backbone or task.model.backbone
    config = config or BackboneConfig(name=task.model.name)
    return backbone_of(config, task.data.image_shape, task.seed)


def _extraction(task: Task, context: RunContext) -> Extraction | Precomputed:
    options = task.options
    if task.data.dtype == "float32":
        return Precomputed(context.spark, task.data, task.workers)
    return Extraction(
        context.spark,
        task.data,
        _backbone(task),
        engine=options.engine,
        workers=task.workers,
        cache=FeatureCache(options.cache) if options.cache else None,
    )


def _frozen_weights(task: Task, context: RunContext) -> list[np.ndarray]:
    """Return all weights of the experiment's network but the last layer's.

    Features are checked to be made with them.
    """
    whole: list[np.ndarray] = task.build_model().get_weights()
    used = [] if task.data.dtype == "float32" else _backbone(task).model.get_weights()
    context.verify_initial_weights([*used, *whole[-2:]])
    return used


def _validation_loss(task: Task, extraction: Extraction | Precomputed, fitted: Fitted) -> float:
    rows = task.data.rows("validation")
    labels = task.data.index("validation").column("label").to_numpy()
    frame = extraction.features("validation")
    with source.naming_damaged_files(task.data, "validation"):
        found = features.probabilities(frame, fitted.kernel, fitted.bias, rows)
    return inference.cross_entropy(found, labels)


def _notes(
    task: Task,
    extraction: Extraction | Precomputed,
    fitted: Fitted,
    featurized: float,
    classified: float,
) -> tuple[str, ...]:
    options = task.options
    config = options.backbone or task.model.backbone
    name = task.model.name if config is None else config.name
    frozen = f"'{name}' is frozen; only a logistic regression on its features is trained"
    notes = [
        f"{frozen} ({options.classifier}).",
        "Epochs, batch size and optimiser of the experiment do not apply; the one epoch is the "
        f"whole fit, and its {fitted.iterations} steps pass over features, not images.",
        "The training loss includes the classifier's penalty.",
        f"Features took {featurized:.1f} s, the classifier {classified:.1f} s.",
    ]
    if config is None:
        notes.append("No pretrained backbone was named: these are features of random weights.")
    if task.imbalance == "sampling":
        notes.append("Images are not drawn: each counts as often as it would be drawn on average.")
    if task.model.augmentation:
        notes.append("Images are not augmented.")
    return (*notes, *extraction.notes)
