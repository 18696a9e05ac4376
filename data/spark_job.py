"""One Spark job of independent tasks, with progress."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from data.local_spark import local_context

if TYPE_CHECKING:
    from pyspark.accumulators import Accumulator
    from pyspark.sql import SparkSession

Task = TypeVar("Task")
Result = TypeVar("Result")

POLL_SECONDS = 0.2


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    sizes: Sequence[int],
    spark: "SparkSession | None",
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Result]:
    """Call ``function`` on each of ``tasks`` in executors; return the results in their order.

    ``progress`` gets the sum of ``sizes`` of the tasks that are done, and of all.
    """
    with contextlib.ExitStack() as stack:
        context = (
            stack.enter_context(local_context(workers, "ingest"))
            if spark is None
            else spark.sparkContext
        )
        done = context.accumulator(0)

        def run(numbered: tuple[int, Task]) -> Result:
            size, task = numbered
            result = function(task)
            done.add(size)
            return result

        if progress is not None:
            stack.enter_context(_reporting(progress, done, sum(sizes)))
        pairs = [*zip(sizes, tasks, strict=True)]
        results: list[Result] = context.parallelize(pairs, len(pairs)).map(run).collect()
        return results


@contextlib.contextmanager
def _reporting(
    progress: Callable[[int, int], None], done: "Accumulator[int]", total: int
) -> Iterator[None]:
    """Report whenever a task ends, and once at the end of all."""
    ended = threading.Event()

    def poll() -> None:
        reported = 0
        while not ended.wait(POLL_SECONDS):
            if done.value != reported:
                reported = done.value
                progress(reported, total)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
        ended.set()
        thread.join()
        progress(total, total)
    finally:
        ended.set()
        thread.join()
