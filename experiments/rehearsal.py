"""A start of every backend that is not counted."""

from collections.abc import Iterable

from backends import Backend
from data.own_folders import temporary_folder
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.launch import Launch
from experiments.supervision import TimeLimitError
from experiments.worker import task_of


def rehearse(plans: Iterable[RunPlan], backends: dict[str, Backend], data: PreparedData) -> None:
    """Start Spark and import the framework of each backend once; nothing is recorded.

    The files of TensorFlow and of BigDL's jars fill a gigabyte: whoever comes first would wait
    for the disk. What fails here will fail in the run, which tells why.
    """
    first = {plan.backend: plan for plan in reversed(list(plans))}
    for name, plan in first.items():
        backend = backends[name]
        if backend.unsupported(task_of(plan, data, backend)) is not None:
            continue
        with temporary_folder("warm-up") as folder:
            try:
                Launch(plan, backend, data, folder).run(rehearsal=True)
            except (TimeLimitError, ExperimentError, OSError):
                continue
