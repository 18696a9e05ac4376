"""What is sent to AWS, as data: a plan is made from options alone and can be shown before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

#: Methods of boto3 by the name of their operation; the name is what IAM and CloudTrail show too.
METHODS = {
    ("s3", "HeadObject"): "head_object",
    ("s3", "PutObject"): "upload_file",
    ("s3", "GetObject"): "get_object",
    ("emr", "RunJobFlow"): "run_job_flow",
    ("emr", "AddJobFlowSteps"): "add_job_flow_steps",
    ("emr", "ListClusters"): "list_clusters",
    ("emr", "ListSteps"): "list_steps",
    ("emr", "DescribeCluster"): "describe_cluster",
    ("emr", "CancelSteps"): "cancel_steps",
    ("emr", "TerminateJobFlows"): "terminate_job_flows",
    ("emr-serverless", "CreateApplication"): "create_application",
    ("emr-serverless", "GetApplication"): "get_application",
    ("emr-serverless", "StartJobRun"): "start_job_run",
    ("emr-serverless", "GetJobRun"): "get_job_run",
    ("emr-serverless", "CancelJobRun"): "cancel_job_run",
    ("emr-serverless", "StopApplication"): "stop_application",
    ("emr-serverless", "DeleteApplication"): "delete_application",
    ("sagemaker", "CreateTrainingJob"): "create_training_job",
    ("sagemaker", "DescribeTrainingJob"): "describe_training_job",
    ("sagemaker", "StopTrainingJob"): "stop_training_job",
    ("sagemaker", "DescribeEndpoint"): "describe_endpoint",
    ("sagemaker", "DeleteEndpoint"): "delete_endpoint",
    ("scheduler", "CreateSchedule"): "create_schedule",
    ("scheduler", "DeleteSchedule"): "delete_schedule",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Until(_Frozen):
    """What a request is repeated for."""

    #: Where the state stands in the answer, with dots; a number is a place in a list.
    path: str
    succeeded: tuple[str, ...]
    failed: tuple[str, ...] = ()
    #: Where the reason of a failure may stand; the first that is there is told.
    reasons: tuple[str, ...] = ()


class Request(_Frozen):
    """One request.

    A string ``<name>`` in the parameters stands for what an earlier answer gave under that name.
    """

    service: str
    operation: str
    parameters: dict[str, Any]
    #: What it is for, in a few words.
    purpose: str
    #: What later requests need of the answer: name -> place with dots.
    keeps: dict[str, str] = {}
    #: Sent again and again until the answer says so.
    until: Until | None = None
    #: File that is uploaded, or that the answer's body is written to.
    file: Path | None = None
    #: Whether the file is an archive that is unpacked where it lies.
    unpack: bool = False
    #: Only sent when this request finds nothing.
    unless: "Request | None" = None
    #: An answer that something is not there is no failure.
    optional: bool = False
    #: Whether a run that has succeeded must have left it.
    expected: bool = True
    #: Judges the answer before anything costs money: returns what to warn of, raises to refuse.
    #: Who may not ask goes on with a warning.
    check: Callable[[dict[str, Any] | None], str | None] | None = None
    #: AWS gives no token by which this could be sent twice and be done once: it is tried once.
    lost: "Lost | None" = None

    @property
    def method(self) -> str:
        """Name of the method of boto3's client."""
        return METHODS[self.service, self.operation]

    @property
    def needs(self) -> set[str]:
        """Names that earlier answers must have given."""
        return _names(self.parameters)


class Lost(_Frozen):
    """How to find what a request has made whose answer did not arrive."""

    #: Lists what there is.
    request: Request
    #: Where the list stands in the answer.
    path: str
    #: What it was called; no other has this name.
    name: str
    #: As in the request, of an entry of the list.
    keeps: dict[str, str]
    #: What to type when it is not in the list.
    by_hand: str


class Plan(_Frozen):
    """Everything that one command sends, in order."""

    #: Before anything costs money.
    prepare: tuple[Request, ...]
    #: From here on something runs.
    start: tuple[Request, ...]
    follow: Request
    #: Asked once when it has failed: the last word on why.
    diagnose: Request | None = None
    #: Where it stands in the answer.
    diagnosis: str = ""
    #: The record.
    fetch: tuple[Request, ...]
    #: Sent before ``end`` when it is still under way: interrupted, or out of time.
    cancel: tuple[Request, ...] = ()
    #: Sent in every case, each one even if another fails.
    end: tuple[Request, ...] = ()
    #: Seconds after which it is ended from here, should AWS not have done so.
    deadline: float
    #: Where to read on after a failure.
    logs: str
    #: What to type if ``end`` could not be sent.
    by_hand: str = ""
    #: What the user should know before anything is sent.
    warnings: tuple[str, ...] = ()

    @property
    def requests(self) -> tuple[Request, ...]:
        """All of a run that goes well, in order."""
        return (*self.prepare, *self.start, self.follow, *self.fetch, *self.end)

    @property
    def every_request(self) -> tuple[Request, ...]:
        """All that may be sent, in whatever case."""
        found = [*self.requests, *self.cancel]
        found += [self.diagnose] if self.diagnose else []
        found += [request.unless for request in found if request.unless]
        found += [request.lost.request for request in found if request.lost]
        return tuple(found)


def resolve(value: Any, values: dict[str, str]) -> Any:
    """Return ``value`` with every ``<name>`` replaced by what is known under it."""
    if isinstance(value, dict):
        return {key: resolve(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, values) for item in value]
    return values.get(value, value) if isinstance(value, str) else value


def look_up(answer: Any, path: str) -> Any:
    """Return what stands at ``path`` of an answer, or None."""
    for part in path.split("."):
        if isinstance(answer, list):
            answer = answer[int(part)] if int(part) < len(answer) else None
        else:
            answer = (answer or {}).get(part)
        if answer is None:
            return None
    return answer


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_names, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_names, value))
    is_name = isinstance(value, str) and value.startswith("<") and value.endswith(">")
    return {value} if is_name else set()
