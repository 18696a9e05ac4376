"""Fitted model of the Estimator: a Transformer that classifies images on the executors."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pyspark.ml import Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)

from backends.epoch import Epoch
from data.storage import locate, read_bytes, write_bytes
from data.worker_python import check_workers
from models import ModelConfig, NetworkSpec

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class ImageColumns(Params):
    """Parameters for the input column, which contains pixels."""

    inputCol = Param(  # noqa: N815
        Params._dummy(), "inputCol", "binary column of pixels", TypeConverters.toString
    )

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(inputCol="pixels")


class BackendModel(ImageColumns, Model, MLWritable, MLReadable):
    """Trained network that adds the columns ``probability`` (vector) and ``prediction`` (label)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ModelConfig()
        self.image_shape = (0, 0, 0)
        self.classes = 0
        self.weights: list[np.ndarray] = []
        #: Epochs of training; empty for a model that was loaded.
        self.history: list[Epoch] = []

    @classmethod
    def trained(
        cls,
        network: ModelConfig,
        image_shape: tuple[int, int, int],
        classes: int,
        weights: Sequence[np.ndarray],
        history: list[Epoch],
    ) -> Self:
        """Return a model with the given weights, in the order of ``keras.Model.get_weights()``."""
        model = cls()
        model.network, model.image_shape, model.classes = network, image_shape, classes
        model.weights, model.history = list(weights), history
        return model

    def _transform(self, dataset: "DataFrame") -> "DataFrame":
        from pyspark.ml.functions import array_to_vector
        from pyspark.sql import functions as F  # noqa: N812

        check_workers(dataset.sparkSession.sparkContext)
        probabilities = F.pandas_udf(self._classifier(), "array<float>")
        column = probabilities(F.col(self.getOrDefault("inputCol")))
        with_array = dataset.withColumn("probability", column)
        position = F.expr("array_position(probability, array_max(probability)) - 1")
        return with_array.withColumn("prediction", position.cast("double")).withColumn(
            "probability", array_to_vector("probability")
        )

    def _classifier(self) -> Any:
        """Return the function that executors run.

        It captures only the specification of the network and the broadcast weights, so that Spark
        can pickle it.
        """
        import pandas as pd
        from pyspark.sql import SparkSession

        session = SparkSession.getActiveSession()
        assert session is not None
        shared = session.sparkContext.broadcast(self.weights)
        shape = self.image_shape
        network = NetworkSpec(self.network, shape, self.classes)

        def classify(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
            from backends.inference import classifier

            forward = classifier(network, shared.value)
            for batch in batches:
                pixels = np.frombuffer(b"".join(batch), np.uint8).reshape(-1, *shape)
                yield pd.Series(list(forward(pixels)))

        return classify

    def write(self) -> MLWriter:
        """Return a writer for parameters and weights."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader:
        """Return a reader for models saved with :meth:`write`."""
        return _Reader()


class _Writer(MLWriter):
    def __init__(self, model: BackendModel) -> None:
        super().__init__()
        self.model = model

    def saveImpl(self, path: str) -> None:  # noqa: N802
        model = self.model
        content = {
            "network": model.network.model_dump(mode="json"),
            "image_shape": model.image_shape,
            "classes": model.classes,
        }
        DefaultParamsWriter.saveMetadata(model, path, self.sc, {"content": json.dumps(content)})
        buffer = io.BytesIO()
        np.savez(buffer, *model.weights)
        filesystem, root = locate(path)
        write_bytes(filesystem, f"{root}/weights.npz", buffer.getvalue())


class _Reader(MLReader):
    def load(self, path: str) -> BackendModel:
        metadata = DefaultParamsReader.loadMetadata(path, self.sc)
        content = json.loads(metadata["content"])
        filesystem, root = locate(path)
        stored = np.load(io.BytesIO(read_bytes(filesystem, f"{root}/weights.npz")))
        model = BackendModel.trained(
            ModelConfig(**content["network"]),
            tuple(content["image_shape"]),
            content["classes"],
            [stored[name] for name in stored.files],
            [],
        )
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model
