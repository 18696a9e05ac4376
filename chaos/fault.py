"""Description of a fault: what it does, when, and how its result is classified."""

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
    """Something that breaks during a run. Made anew for each run, in the process that makes it."""

    #: As in ``--fault``.
    name: ClassVar[str]
    #: In tables.
    title: ClassVar[str]
    #: Description for a reader of the report.
    how: ClassVar[str]
    needs_executors: ClassVar[bool] = False
    needs_hosts: ClassVar[bool] = False
    #: Whether it is injected in the middle of an epoch; otherwise it is there from the start.
    injects: ClassVar[bool] = True
    #: Whether training that was done can be lost by it, without the run failing.
    costs_work: ClassVar[bool] = False
    #: Whether a run that it ended is worth going on with as it is.
    resumes: ClassVar[bool] = True
    #: Whether nobody is left to tell of the record, but the one who goes on.
    ends_harness: ClassVar[bool] = False
    #: Whether the record must be closed before anybody goes on, though the harness is ended.
    closes_record: ClassVar[bool] = False
    #: Whether the records of its runs are in the run's own folder.
    has_own_records: ClassVar[bool] = False

    def skip_reason(self, backend: Backend, hosts: Hosts | None) -> str:
        """Return why it cannot be tried on ``backend``, or an empty text."""
        if self.needs_executors and not backend.needs_spark:
            return NO_EXECUTORS
        return NO_HOSTS if self.needs_hosts and hosts is None else ""

    def prepare(self, target: RunUnderTest, experiment: Experiment) -> Mapping[str, Any]:
        """Make ready before the run; return the keys of the experiment that change."""
        return {}

    @abstractmethod
    def inject(self, target: RunUnderTest) -> str:
        """Do it; return what was done. Runs in a thread of its own and may take its time."""

    def finish(self, target: RunUnderTest) -> None:
        """Take back what would outlive the run."""
