"""Features from a frozen backbone in a pandas UDF, and Spark MLlib's logistic regression on them.

MLlib adds the partial sums of the executors in the order in which they arrive. With three or more
workers, two runs with the same seed therefore differ in the last digits of the weights.
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
    """Backbone, feature extraction and classifier."""

    #: None selects the experiment's CNN with its initial weights: random convolutions, which
    #: require no download and are a baseline in themselves.
    backbone: BackboneConfig | None = None
    #: Engine that computes the features: ``auto`` is OpenVINO, or Keras if OpenVINO cannot be used;
    #: ``bfloat16`` is OpenVINO in bfloat16 on processors that support it.
    engine: EngineChoice = "auto"
    #: ``seed``: maxIter 5, regParam 0.03, elasticNetParam 0.5, as in the first reports on this
    #: method. The individual values below override the preset.
    preset: PresetName = "default"
    #: Maximum number of iterations of L-BFGS (OWL-QN with an L1 penalty).
    max_iter: Annotated[int, Field(ge=1)] | None = None
    #: Strength of the penalty.
    reg_param: Annotated[float, Field(ge=0)] | None = None
    #: Fraction of L1 in the penalty.
    elastic_net: Annotated[float, Field(ge=0, le=1)] | None = None
    #: Folder shared by driver and executors in which features are kept for later runs.
    cache: str | None = None
    #: Bytes of pixels that a Python worker receives at once.
    batch_bytes: Annotated[int, Field(ge=1)] = features.BATCH_BYTES

    @field_validator("cache")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError(
                f"'{value}': the cache must be a folder; Spark by itself supports no object store"
            )
        return value

    @property
    def classifier(self) -> ClassifierConfig:
        """Preset, overridden by the individual values that were given."""
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
        """Return that MLlib's optimizer runs on the driver."""
        return "frozen backbone; gradients of the last layer summed on the driver (L-BFGS)"

    def unsupported(self, task: Task) -> str | None:
        """Refuse invalid options, as far as they can be checked without importing Keras."""
        options = task.options
        config = options.backbone
        if config is not None and config.missing is not None:
            return f"there is no backbone file {config.missing}"
        if config is not None and task.data.dtype == "float32":
            return (
                "the experiment's model already specifies a backbone: omit "
                "backend_options.pandas_udf.backbone"
            )
        if options.engine in ("openvino", "bfloat16") and find_spec("openvino") is None:
            return "openvino is not installed: run 'uv sync --group pandas_udf' or use engine keras"
        return None

    def spark_conf(self, task: Task) -> dict[str, str]:
        """Limit batches in bytes, divide small files among workers, and retry failed tasks."""
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
        # One partition for each worker, because every iteration runs a task for each partition.
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
        """Featurize the test images and apply the classifier; the driver receives probabilities."""
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
    """Return the weights of the experiment's network except those of the last layer.

    Their checksum is verified, because the features are computed with them.
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
        "The experiment's epochs, batch size and optimizer do not apply; the single epoch is the "
        f"whole fit, and its {fitted.iterations} steps iterate over features, not images.",
        "The training loss includes the penalty of the classifier.",
        f"Features took {featurized:.1f} s, the classifier {classified:.1f} s.",
    ]
    if config is None:
        notes.append("No pretrained backbone was chosen: the features come from random weights.")
    if task.imbalance == "sampling":
        notes.append(
            "Images are not resampled: each is weighted by how often it would be drawn on average."
        )
    if task.model.augmentation:
        notes.append("Images are not augmented.")
    return (*notes, *extraction.notes)
