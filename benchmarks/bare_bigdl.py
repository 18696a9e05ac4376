"""BigDL script without the harness, as a careful user would write it; reference for its overhead.

Usage: ``python -m benchmarks.bare_bigdl <master> <prepared data> <epochs> <file>``. The script
trains the same network on the same images, in an RDD of ``Sample``, with all epochs in one call of
BigDL's optimizer at full precision. It has no worker contract, events, validation or record.
BigDL's training summary contains the images per second of each step but not the duration of an
epoch, which is therefore computed from the timestamps of the steps.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from backends.bigdl.samples import placed_shards, steps_per_epoch, training_rdd
from backends.bigdl.translation import Network
from benchmarks.bare import begin


def main(master: str, data: str, epochs: int, output: Path) -> None:
    """Train once and write the seconds of each epoch after the first, as JSON."""
    from bigdl.dllib.keras.objectives import SparseCategoricalCrossEntropy
    from bigdl.dllib.optim.optimizer import Adam, MaxEpoch, Optimizer, TrainSummary
    from bigdl.dllib.utils.common import init_engine

    spark, task, context = begin("bigdl", master, data, epochs, output.parent)
    init_engine()
    optimizer = Optimizer.create(
        model=Network(task.build_model(), "th").model,
        training_set=training_rdd(task, placed_shards(task, context), 1, "th"),
        criterion=SparseCategoricalCrossEntropy(),
        optim_method=Adam(learningrate=task.optimizer.learning_rate),
        end_trigger=MaxEpoch(epochs),
        batch_size=task.global_batch_size,
    )
    optimizer.value.setCompressType("none")
    summary = TrainSummary(str(output.parent / "diary"), "bare")
    optimizer.set_train_summary(summary)
    optimizer.value.optimize()
    output.write_text(json.dumps(_seconds(summary, steps_per_epoch(task))))
    spark.stop()


def _seconds(summary: Any, steps: int) -> list[float]:
    """Return the seconds from the last step of each epoch to the last step of the next."""
    ends = [moment for _, _, moment in summary.read_scalar("Loss")][steps - 1 :: steps]
    return [later - earlier for earlier, later in pairwise(ends)]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
