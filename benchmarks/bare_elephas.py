"""Elephas script without the harness, as a careful user would write it; reference for its overhead.

Usage: ``python -m benchmarks.bare_elephas <master> <prepared data> <epochs> <file>``. The script
uses the same network, RDD and Elephas calls as ``backends.elephas``. It has no worker contract,
events, resource sampling or record. It does not validate either, because the harness times
validation separately.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

from backends.elephas import training_rdd
from benchmarks.bare import begin


def main(master: str, data: str, epochs: int, output: Path) -> None:
    """Train once and write the seconds of each epoch, as JSON."""
    from elephas.spark_model import SparkModel

    spark, task, context = begin("elephas", master, data, epochs, output.parent)
    model = SparkModel(task.compiled_model())
    seconds = []
    for epoch in range(1, task.epochs + 1):
        rdd = training_rdd(task, context, epoch)
        started = perf_counter()
        model.fit(rdd, epochs=1, batch_size=task.worker_batch_size, verbose=0, shuffle=False)
        seconds.append(perf_counter() - started)
    output.write_text(json.dumps(seconds))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
