"""Base class of faults: their effect, their timing and the classification of their outcomes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from backends import Backend
from chaos.hosts import Hosts
from chaos.run_under_test import RunUnderTest
from experiments.config import Experiment

NO_HOSTS = "needs a cluster of several hosts (--cluster)"
NO_EXECUTORS = "trains without executors"


class Fault(ABC):
    """A fault during a run. One instance is created for each run, in the process of the run."""

    #: Name for ``--fault``.
    name: ClassVar[str]
    #: Name in tables.
    title: ClassVar[str]
    #: Description in the report.
    how: ClassVar[str]
    #: True if the fault can only be injected into a run with executors.
    needs_executors: ClassVar[bool] = False
    #: True if the fault requires a cluster of several hosts.
    needs_hosts: ClassVar[bool] = False
    #: True if the fault is injected in the middle of an epoch, False if it is present from the
    #: start.
    injects: ClassVar[bool] = True
    #: True if completed training can be lost although the run does not fail.
    costs_work: ClassVar[bool] = False
    #: True if a run that failed because of the fault is resumed with ``--resume``.
    resumes: ClassVar[bool] = True
    #: True if the harness itself is ended, so that only a resumed run can report a record.
    ends_harness: ClassVar[bool] = False
    #: True if the harness must close the record before it ends.
    closes_record: ClassVar[bool] = False
    #: True if each run has a separate store, in the folder of the run.
    has_own_records: ClassVar[bool] = False

    def skip_reason(self, backend: Backend, hosts: Hosts | None) -> str:
        """Return why the fault does not apply to ``backend``, or an empty string."""
        if self.needs_executors and not backend.needs_spark:
            return NO_EXECUTORS
        return NO_HOSTS if self.needs_hosts and hosts is None else ""

    def prepare(self, target: RunUnderTest, experiment: Experiment) -> Mapping[str, Any]:
        """Prepare the fault before the run; return the keys of the experiment to be changed."""
        return {}

    @abstractmethod
    def inject(self, target: RunUnderTest) -> str:
        """Inject the fault and return a description; runs in a separate thread and may block."""

    def finish(self, target: RunUnderTest) -> None:
        """Undo the effects that would outlast the run."""
