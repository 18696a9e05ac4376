"""Featurizer as a stage of a Spark ML Pipeline.

>>> featurizer = DeepImageFeaturizer(inputCol="image", backbone="ResNet50")
>>> pipeline = Pipeline(stages=[featurizer, LogisticRegression()])

Names and setters follow the conventions of Spark ML, as users of a Pipeline expect, and not those
of this project.
"""
# ruff: noqa: N802, N803, N815

from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol, HasSeed
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from backends.featurizer.engine import backbone_of, choice_of
from backends.featurizer.features import BATCH_BYTES, bound_batches, features_udf
from backends.spark_ml.image_column import ImageColumn
from data.worker_python import check_workers
from models.backbones import Backbone
from models.config import BackboneConfig

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class DeepImageFeaturizer(
    Transformer, HasInputCol, HasOutputCol, HasSeed, DefaultParamsReadable, DefaultParamsWritable
):
    """Transformer that adds a vector of features from a frozen backbone to each image.

    The input column is one of

    - binary: row-major uint8 pixels, in a frame that also has the columns ``height``, ``width``
      and ``channels``, as in the Parquet files of ``sparkdl-bench data prepare``;
    - a struct with the fields ``pixels``, ``height``, ``width`` and ``channels``;
    - Spark's image struct, from ``spark.read.format("image")``.

    ``transform`` reads one row to determine the size of the images, and lowers
    ``spark.sql.execution.arrow.maxRecordsPerBatch`` of the session so that Spark sends at most
    ``batchBytes`` of pixels to a Python worker at once.

    Inside a ``CrossValidator`` the features are recomputed for every fold and every point of the
    grid; if that is too expensive, transform once and cross-validate on the cached features.
    """

    backbone = Param(
        Params._dummy(),
        "backbone",
        "a model of keras.applications, a .keras file or a network of this project",
        typeConverter=TypeConverters.toString,
    )
    layer = Param(
        Params._dummy(),
        "layer",
        "layer whose activations are the features; '' for the default of the backbone",
        typeConverter=TypeConverters.toString,
    )
    weights = Param(
        Params._dummy(),
        "weights",
        "weights of a keras.applications model: 'imagenet' or 'none' (random); '' for the default",
        typeConverter=TypeConverters.toString,
    )
    imageSize = Param(
        Params._dummy(),
        "imageSize",
        "side in pixels to which images are resized; 0 for the size of the backbone",
        typeConverter=TypeConverters.toInt,
    )
    engine = Param(
        Params._dummy(),
        "engine",
        "inference engine: auto, keras, openvino or bfloat16",
        typeConverter=TypeConverters.toString,
    )
    batchBytes = Param(
        Params._dummy(),
        "batchBytes",
        "bytes of pixels that a Python worker receives at once",
        typeConverter=TypeConverters.toInt,
    )

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "features",
        backbone: str = "ResNet50",
        layer: str = "",
        weights: str = "",
        imageSize: int = 0,
        engine: str = "auto",
        batchBytes: int = BATCH_BYTES,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._setDefault(
            inputCol="pixels",
            outputCol="features",
            backbone="ResNet50",
            layer="",
            weights="",
            imageSize=0,
            engine="auto",
            batchBytes=BATCH_BYTES,
            seed=0,
        )
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str = "pixels",
        outputCol: str = "features",
        backbone: str = "ResNet50",
        layer: str = "",
        weights: str = "",
        imageSize: int = 0,
        engine: str = "auto",
        batchBytes: int = BATCH_BYTES,
        seed: int = 0,
    ) -> "DeepImageFeaturizer":
        """Set the given parameters and keep the others."""
        return self._set(**self._input_kwargs)

    def backbone_config(self) -> BackboneConfig:
        """Return the parameters that determine the backbone.

        Raises
        ------
        ValueError
            If they contradict each other.
        """
        return BackboneConfig.model_validate(
            {
                "name": self.getOrDefault(self.backbone),
                "layer": self.getOrDefault(self.layer) or None,
                "weights": self.getOrDefault(self.weights) or None,
                "image_size": self.getOrDefault(self.imageSize) or None,
            }
        )

    def _transform(self, dataset: "DataFrame") -> "DataFrame":
        spark = dataset.sparkSession
        check_workers(spark.sparkContext)
        column = ImageColumn.of(dataset, self.getInputCol())
        shape = column.first_shape()
        if shape is None:
            return dataset.withColumn(self.getOutputCol(), _empty_vector())
        height, width, channels = shape
        bound_batches(spark, height * width * channels, self.getOrDefault(self.batchBytes))
        program = choice_of(self._built(shape), self.getOrDefault(self.engine)).program
        features = features_udf(spark, program)(*column.parts())
        return dataset.withColumn(self.getOutputCol(), array_to_vector(features))

    def _built(self, shape: tuple[int, int, int]) -> Backbone:
        return backbone_of(self.backbone_config(), shape, self.getSeed())


def _empty_vector() -> Any:
    from pyspark.sql import functions as F  # noqa: N812

    return array_to_vector(F.array().cast("array<double>"))
