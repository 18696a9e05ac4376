"""Keeping BigDL's chatter from the user's terminal."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark import SparkContext

_ENGINE = "com.intel.analytics.bigdl.dllib.utils.Engine$"


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what is printed: BigDL's Python prints a line for each object that it makes."""
    with redirect_stdout(io.StringIO()):
        yield


def quieten_engine(spark: "SparkContext") -> None:
    """Leave out the warnings of BigDL's engine: it asks for settings that Spark 3 has no more."""
    log4j = spark._jvm.org.apache.logging.log4j
    log4j.core.config.Configurator.setLevel(_ENGINE, log4j.Level.ERROR)
