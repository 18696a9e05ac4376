"""Spark ML Estimator that trains with any backend.

>>> estimator = BackendEstimator(backend="elephas", epochs=5, groupCol="patient_id")
>>> model = Pipeline(stages=[estimator]).fit(images)  # pixels, height, width, channels, label
>>> model.transform(images).select("prediction", "probability")
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from backends.base import RunContext, TrainingTask
from backends.epoch import Epoch
from backends.errors import BackendError
from backends.refusal import network_refusal, refusal
from backends.registry import create
from backends.spark_ml.data import write_prepared
from backends.spark_ml.model import BackendModel, ImageColumns
from data.errors import DataError
from data.own_folders import temporary_folder
from data.worker_python import check_workers
from models import ModelConfig, OptimizerConfig

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def _param(name: str, doc: str, convert: Any) -> Any:
    return Param(Params._dummy(), name, doc, typeConverter=convert)


class BackendEstimator(ImageColumns, Estimator, DefaultParamsReadable, DefaultParamsWritable):
    """Estimator that trains a network of this project on a DataFrame of images.

    The DataFrame contains binary pixels (height x width x channels bytes, row-major), their height,
    width and channels, a label from 0, and a group (the patient) that is never divided between
    training and validation or between workers.
    """

    backend = _param("backend", "name of the backend, as in --backend", TypeConverters.toString)
    network = _param("network", "small_cnn, lesion_cnn or mini_xception", TypeConverters.toString)
    groupCol = _param("groupCol", "column of patients", TypeConverters.toString)  # noqa: N815
    labelCol = _param("labelCol", "column of labels", TypeConverters.toString)  # noqa: N815
    epochs = _param("epochs", "passes over the training images", TypeConverters.toInt)
    batchSize = _param(  # noqa: N815
        "batchSize", "images per step, summed over all workers", TypeConverters.toInt
    )
    learningRate = _param(  # noqa: N815
        "learningRate", "learning rate of Adam", TypeConverters.toFloat
    )
    workers = _param("workers", "number of executors with one core each", TypeConverters.toInt)
    seed = _param(
        "seed", "seed of initial weights, image order and validation split", TypeConverters.toInt
    )
    validation = _param("validation", "fraction of images for validation", TypeConverters.toFloat)
    folder = _param(
        "folder",
        "folder or URI, shared by driver and executors, to which shards are written; empty for a "
        "temporary folder on this machine",
        TypeConverters.toString,
    )

    @keyword_only
    def __init__(
        self,
        *,
        backend: str = "elephas",
        network: str = "small_cnn",
        inputCol: str = "pixels",  # noqa: N803
        labelCol: str = "label",  # noqa: N803
        groupCol: str = "patient_id",  # noqa: N803
        epochs: int = 5,
        batchSize: int = 64,  # noqa: N803
        learningRate: float = 1e-3,  # noqa: N803
        workers: int = 2,
        seed: int = 0,
        validation: float = 0.15,
        folder: str = "",
    ) -> None:
        super().__init__()
        self._setDefault(
            backend="elephas",
            network="small_cnn",
            labelCol="label",
            groupCol="patient_id",
            epochs=5,
            batchSize=64,
            learningRate=1e-3,
            workers=2,
            seed=0,
            validation=0.15,
            folder="",
        )
        self._set(**self._input_kwargs)

    def _fit(self, dataset: "DataFrame") -> BackendModel:
        if self.getOrDefault("folder"):
            return self._fit_in(dataset, self.getOrDefault("folder"))
        with temporary_folder("estimator") as folder:
            return self._fit_in(dataset, str(folder))

    def _fit_in(self, dataset: "DataFrame", folder: str) -> BackendModel:
        value = self.getOrDefault
        data = write_prepared(
            dataset,
            folder,
            pixels=value("inputCol"),
            label=value("labelCol"),
            group=value("groupCol"),
            validation=value("validation"),
            workers=value("workers"),
            seed=value("seed"),
        )
        backend = create(value("backend"))
        if backend.needs_spark:
            check_workers(dataset.sparkSession.sparkContext)
        task = TrainingTask(
            data=data,
            model=ModelConfig.model_validate({"name": value("network")}),
            optimizer=OptimizerConfig(learning_rate=value("learningRate")),
            epochs=value("epochs"),
            global_batch_size=value("batchSize"),
            workers=value("workers"),
            seed=value("seed"),
            options=backend.options(),
        )
        if task.global_batch_size < task.workers:
            raise DataError(
                f"batchSize {task.global_batch_size} is below the number of workers {task.workers}"
            )
        reason = refusal(backend, task) or network_refusal(backend, task)
        if reason is not None:
            raise BackendError(f"{backend.name} cannot train this model: {reason}")
        history: list[Epoch] = []
        context = RunContext(
            spark=dataset.sparkSession, folder=Path(tempfile.gettempdir()), on_epoch=history.append
        )
        backend.warm_up(task.seed)
        fitted = backend.fit(task, context)
        if context.initial_weights_checksum is None:
            raise BackendError(f"{backend.name} trains no Keras network that could be returned")
        return BackendModel.trained(
            task.model, data.image_shape, len(data.class_names), fitted.weights, history
        )._set(inputCol=value("inputCol"))
