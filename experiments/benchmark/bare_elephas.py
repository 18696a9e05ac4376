"""What a careful user would write without the harness: the yardstick for what it costs.

``python -m experiments.benchmark.bare_elephas <master> <prepared data> <epochs> <file>``. The
same network, RDD and Elephas calls as in ``backends.elephas``; no worker contract, no events, no
resource sampling, no record. Validation is left out, as the harness times it apart.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

from backends.base import RunContext, TrainingTask
from backends.elephas import training_rdd
from backends.inference import import_on_executors
from data.prepared import open_prepared
from experiments import session
from experiments.loading import load


def main(master: str, data: str, epochs: int, output: Path) -> None:
    """Train once and write the seconds of each epoch, as JSON."""
    from elephas.spark_model import SparkModel

    experiment = load("synthetic")
    task = TrainingTask(
        open_prepared(data),
        experiment.model,
        experiment.optimizer,
        epochs,
        experiment.batch_size,
        experiment.workers,
        seed=0,
    )
    conf = session.settings(experiment.spark, task.workers, output.parent, {})
    spark = session.connect(master, conf, experiment.spark.driver_memory)
    session.wait_for_executors(spark, task.workers)
    context = RunContext(spark=spark, folder=output.parent)
    import_on_executors(context, task.workers, "elephas.spark_model")
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
