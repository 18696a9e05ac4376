"""Suppression of BigDL's output on the terminal."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import SparkContext

_ENGINE = "com.intel.analytics.bigdl.dllib.utils.Engine$"


@contextmanager
def quiet() -> Iterator[None]:
    """Discard standard output: BigDL's Python code prints a line for each object it creates."""
    with redirect_stdout(io.StringIO()):
        yield


def quieten_engine(spark: "SparkContext") -> None:
    """Suppress warnings of BigDL's engine about settings that Spark 3 no longer has."""
    log4j = spark._jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(_ENGINE, log4j.Level.ERROR)
