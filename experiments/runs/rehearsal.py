"""Warm-up: an unmeasured start of every backend."""

from collections.abc import Callable, Iterable

from backends import Backend
from backends.refusal import refusal
from data.own_folders import temporary_folder
from data.prepared import PreparedData
from experiments.config import RunPlan
from experiments.errors import ExperimentError
from experiments.processes.supervision import TimeLimitError
from experiments.runs.launch import Launch
from experiments.runs.task import task_of


def rehearse(
    plans: Iterable[RunPlan],
    backends: dict[str, Backend],
    data: PreparedData,
    on_start: Callable[[str, int, int], None] = lambda *_: None,
) -> None:
    """Start Spark and import the framework of each backend once; nothing is recorded.

    The files of TensorFlow and of BigDL's jars occupy a gigabyte, which the first run would
    otherwise read from disk. Failures are ignored here, since the run itself reports them.

    Parameters
    ----------
    on_start
        Called with the name of a backend, its number (from 1) and the number of all backends.
    """
    first = {plan.backend: plan for plan in reversed(list(plans))}
    able = {
        name: plan
        for name, plan in first.items()
        if refusal(backends[name], task_of(plan, data, backends[name])) is None
    }
    for number, (name, plan) in enumerate(able.items(), 1):
        on_start(name, number, len(able))
        with temporary_folder("warm-up") as folder:
            try:
                Launch(plan, backends[name], data, folder).run(rehearsal=True)
            except (TimeLimitError, ExperimentError, OSError):
                continue
