"""How much memory an executor needs: BigDL keeps everything in the heap of its JVM."""

from backends.base import TrainingTask

#: Spark, BigDL's classes and the blocks of one shuffle.
_BASE_MB = 1024


def executor_megabytes(task: TrainingTask) -> int:
    """Return the heap of an executor, in MiB."""
    return 4096
