"""Arrays in PySpark's broadcasts when Spark encrypts what it stores."""

from pickle import PickleBuffer
from typing import Any

from pyspark import serializers


class _ChunkedStream(serializers.ChunkedStream):
    """PySpark's, which asks what it writes for its length: a buffer of pickle's has none."""

    def write(self, data: Any) -> None:
        super().write(data.raw() if isinstance(data, PickleBuffer) else data)


def allow_arrays() -> None:
    """Let this process broadcast arrays with ``spark.io.encryption.enabled``.

    With it PySpark 3.5 pickles straight into a socket, and pickle hands arrays over as they are.
    """
    import pyspark.broadcast
    import pyspark.context

    for module in (pyspark.broadcast, pyspark.context):
        module.ChunkedStream = _ChunkedStream
