"""The request of the campaign to a process that executes one run."""

from pathlib import Path

from pydantic import BaseModel

from chaos.event_log import Trigger
from chaos.run_under_test import Conditions
from experiments.config import Experiment

JOB = "job.json"


class AttemptJob(BaseModel):
    """The content of ``job.json``."""

    experiment: Experiment
    work: Path
    #: Name of the fault; None for an undisturbed run.
    fault: str | None = None
    trigger: Trigger = Trigger()
    conditions: Conditions = Conditions()
    #: Folder of the cluster's hosts.
    cluster: Path | None = None
    resume: bool = False
