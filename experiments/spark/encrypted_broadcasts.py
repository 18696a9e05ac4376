"""Support for arrays in PySpark's broadcasts when Spark encrypts its files."""

from pickle import PickleBuffer
from typing import Any

from pyspark import serializers


class _ChunkedStream(serializers.ChunkedStream):
    """PySpark's stream, extended to buffers of pickle, which have no length."""

    def write(self, data: Any) -> None:
        super().write(data.raw() if isinstance(data, PickleBuffer) else data)


def allow_arrays() -> None:
    """Let this process broadcast arrays with ``spark.io.encryption.enabled``.

    With this setting PySpark 3.5 pickles directly into a socket, and pickle passes the buffers of
    arrays to it without copying them to bytes.
    """
    import pyspark.broadcast
    import pyspark.context

    for module in (pyspark.broadcast, pyspark.context):
        module.ChunkedStream = _ChunkedStream
