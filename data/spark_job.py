"""One Spark job of independent tasks, with progress, that Ctrl-C can stop."""

import contextlib
import gc
import sys
import uuid
import zipimport
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from data.local_spark import local_context

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.accumulators import Accumulator
    from pyspark.sql import SparkSession

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

POLL_SECONDS = 0.2


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    sizes: Sequence[int],
    spark: "SparkSession | None",
    workers: int,
    progress: Progress | None,
) -> list[Result]:
    """Call ``function`` on each of ``tasks`` in executors; return the results in their order.

    ``progress`` gets the sum of ``sizes`` of the tasks that are done, and of all.
    """
    with contextlib.ExitStack() as stack:
        context: SparkContext = (
            stack.enter_context(local_context(workers, "ingest"))
            if spark is None
            else spark.sparkContext
        )
        done = context.accumulator(0)

        def run(numbered: tuple[int, Task]) -> Result:
            size, task = numbered
            result = function(task)
            done.add(size)
            _spare_next_task()
            return result

        job = f"ingest {uuid.uuid4()}"

        def collect() -> list[Result]:
            context.setJobGroup(job, "ingest")
            pairs = [*zip(sizes, tasks, strict=True)]
            results: list[Result] = context.parallelize(pairs, len(pairs)).map(run).collect()
            return results

        # PySpark's answer to Ctrl-C talks to the JVM, which fails while the same thread waits for
        # an answer from it: so another thread waits, and this one is free to be interrupted.
        pool = stack.enter_context(ThreadPoolExecutor(1))
        future = pool.submit(collect)
        try:
            return _wait(future, done, sum(sizes), progress)
        except BaseException:
            context.cancelJobGroup(job)
            raise


def _spare_next_task() -> None:
    """Let the next task of this Python worker begin 0.1 s sooner.

    PySpark collects garbage after each task, 40 ms over the objects of all imported modules: they
    are no garbage, and told so once. Before each task it asks all importers to look again, and that
    of ``pyspark.zip`` reads the archive's whole directory, 60 ms; one that is missing is made anew
    when a module is not found before.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
    for path, importer in [*sys.path_importer_cache.items()]:
        if isinstance(importer, zipimport.zipimporter):
            del sys.path_importer_cache[path]


def _wait(
    future: "Future[list[Result]]",
    done: "Accumulator[int]",
    total: int,
    progress: Progress | None,
) -> list[Result]:
    """Report whenever a task has ended, and once at the end of all."""
    reported = 0
    while True:
        try:
            results = future.result(POLL_SECONDS)
            break
        except TimeoutError:
            if progress is not None and done.value != reported:
                reported = done.value
                progress(reported, total)
    if progress is not None:
        progress(total, total)
    return results
