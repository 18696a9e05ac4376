"""Uniform access to the formats in which a DataFrame may store images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_SHAPE = ("height", "width", "channels")
#: Fields of the struct returned by ``spark.read.format("image")``.
_SPARK_IMAGE = {"origin", "height", "width", "nChannels", "mode", "data"}


@dataclass(frozen=True)
class ImageColumn:
    """The column of a frame that contains images."""

    frame: "DataFrame"
    name: str
    #: ``binary``, ``struct`` or ``spark``.
    kind: str

    @classmethod
    def of(cls, frame: "DataFrame", name: str) -> "ImageColumn":
        """Return the column ``name`` of ``frame``, with its format according to the schema.

        Raises
        ------
        DataError
            If the column is missing or does not contain images.
        """
        from pyspark.sql.types import BinaryType, StructType

        if name not in frame.columns:
            raise DataError(f"there is no column '{name}' (columns: {', '.join(frame.columns)})")
        kind = frame.schema[name].dataType
        if isinstance(kind, StructType) and set(kind.names) >= _SPARK_IMAGE:
            return cls(frame, name, "spark")
        if isinstance(kind, StructType) and {"pixels", *_SHAPE} <= set(kind.names):
            return cls(frame, name, "struct")
        missing = [column for column in _SHAPE if column not in frame.columns]
        if isinstance(kind, BinaryType) and not missing:
            return cls(frame, name, "binary")
        if isinstance(kind, BinaryType):
            raise DataError(
                f"column '{name}' needs the columns {', '.join(missing)}, which are missing"
            )
        raise DataError(
            f"column '{name}' is {kind.simpleString()}: images must be binary pixels with the "
            "columns height, width and channels, a struct of these four, or Spark's image struct"
        )

    def parts(self) -> "tuple[Column, Column, Column, Column]":
        """Return pixels in RGB order, height, width and channels as columns."""
        from pyspark.sql import functions as F  # noqa: N812

        if self.kind == "binary":
            return F.col(self.name), *(F.col(part) for part in _SHAPE)
        if self.kind == "struct":
            pixels, height, width, channels = (
                F.col(f"{self.name}.{part}") for part in ("pixels", *_SHAPE)
            )
            return pixels, height, width, channels
        data, height, width, channels = (
            F.col(f"{self.name}.{part}") for part in ("data", "height", "width", "nChannels")
        )
        # Spark sets the height of a file that it could not decode to -1.
        unread = F.concat(F.lit("Spark could not read the image "), F.col(f"{self.name}.origin"))
        checked = F.when(height > 0, height).otherwise(F.raise_error(unread).cast("int"))
        return _rgb()(data, channels), checked, width, F.least(channels, F.lit(3))

    def first_shape(self) -> tuple[int, int, int] | None:
        """Return height, width and channels of one row, or None if the frame is empty."""
        _, *shape = self.parts()
        row = self.frame.select(*shape).first()
        return None if row is None else (int(row[0]), int(row[1]), int(row[2]))


def _rgb() -> "Callable[..., Column]":
    """Return a UDF that converts Spark's BGR or BGRA bytes to RGB and keeps gray images."""
    import numpy as np
    import pandas as pd
    from pyspark.sql.functions import pandas_udf

    def turn(content: bytes, channels: int) -> bytes:
        if channels == 1:
            return content
        return np.frombuffer(content, np.uint8).reshape(-1, channels)[:, 2::-1].tobytes()

    def rgb(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        for contents, channels in batches:
            turned = [turn(*pair) for pair in zip(contents, channels, strict=True)]
            yield pd.Series(turned, dtype=object)

    udf: Callable[..., Column] = pandas_udf(rgb, "binary")
    return udf
