"""Spark job of independent tasks with progress reports, interruptible by Ctrl-C."""

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
    name: str = "ingest",
) -> list[Result]:
    """Call ``function`` on each task in the executors; return the results in order.

    Parameters
    ----------
    function
        Picklable function of one task.
    tasks
        Picklable tasks.
    sizes
        Size of each task, for the progress.
    spark
        Session to use; None starts a local one with ``workers`` threads.
    workers
        Number of threads of a local session.
    progress
        Callback that receives the total size of the finished tasks and of all tasks.
    name
        Description of the job in Spark's pages.
    """
    with contextlib.ExitStack() as stack:
        context: SparkContext = (
            stack.enter_context(local_context(workers, name))
            if spark is None
            else spark.sparkContext
        )
        done = context.accumulator(0)

        def run(numbered: tuple[int, Task]) -> Result:
            size, task = numbered
            result = function(task)
            done.add(size)
            spare_next_task()
            return result

        job = f"{name} {uuid.uuid4()}"

        def collect() -> list[Result]:
            context.setJobGroup(job, name)
            pairs = [*zip(sizes, tasks, strict=True)]
            results: list[Result] = context.parallelize(pairs, len(pairs)).map(run).collect()
            return results

        # PySpark handles Ctrl-C by a call to the JVM, which fails while the same thread waits for a
        # response from it. Therefore another thread waits, so that this one can be interrupted.
        pool = stack.enter_context(ThreadPoolExecutor(1))
        future = pool.submit(collect)
        try:
            return _wait(future, done, sum(sizes), progress)
        except BaseException:
            context.cancelJobGroup(job)
            raise


def spare_next_task() -> None:
    """Let the next task of this Python worker start 0.1 s earlier.

    PySpark collects garbage after each task, which takes 40 ms for the objects of all imported
    modules; freezing them once excludes them. Before each task, it invalidates the caches of all
    importers, and the importer of ``pyspark.zip`` then reads the archive's whole directory, which
    takes 60 ms; a removed importer is recreated only if a module is not found before it on the
    path.
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
    """Return the results, reporting progress whenever tasks have finished and once at the end."""
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
