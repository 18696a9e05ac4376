"""Requests to AWS as data: a plan depends only on options and can be printed before it is sent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

#: Service and operation -> method of boto3. IAM and CloudTrail use the same operation names.
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
    ("sts", "GetCallerIdentity"): "get_caller_identity",
    ("logs", "ListTagsForResource"): "list_tags_for_resource",
    ("logs", "CreateLogGroup"): "create_log_group",
    ("logs", "PutRetentionPolicy"): "put_retention_policy",
    ("logs", "DeleteLogGroup"): "delete_log_group",
    ("iam", "GetRole"): "get_role",
    ("iam", "CreateRole"): "create_role",
    ("iam", "PutRolePolicy"): "put_role_policy",
    ("iam", "DeleteRolePolicy"): "delete_role_policy",
    ("iam", "DeleteRole"): "delete_role",
    ("lambda", "GetFunction"): "get_function",
    ("lambda", "GetFunctionConfiguration"): "get_function_configuration",
    ("lambda", "CreateFunction"): "create_function",
    ("lambda", "UpdateFunctionCode"): "update_function_code",
    ("lambda", "UpdateFunctionConfiguration"): "update_function_configuration",
    ("lambda", "DeleteFunction"): "delete_function",
    ("lambda", "GetPolicy"): "get_policy",
    ("lambda", "AddPermission"): "add_permission",
    ("apigatewayv2", "GetApis"): "get_apis",
    ("apigatewayv2", "CreateApi"): "create_api",
    ("apigatewayv2", "DeleteApi"): "delete_api",
    ("apigatewayv2", "GetIntegrations"): "get_integrations",
    ("apigatewayv2", "CreateIntegration"): "create_integration",
    ("apigatewayv2", "UpdateIntegration"): "update_integration",
    ("apigatewayv2", "GetRoutes"): "get_routes",
    ("apigatewayv2", "CreateRoute"): "create_route",
    ("apigatewayv2", "UpdateRoute"): "update_route",
    ("apigatewayv2", "GetStages"): "get_stages",
    ("apigatewayv2", "CreateStage"): "create_stage",
    ("apigatewayv2", "UpdateStage"): "update_stage",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Until(_Frozen):
    """The states at which the repetition of a request ends."""

    #: Dotted path of the state in the response; a number is an index in a list.
    path: str
    succeeded: tuple[str, ...]
    failed: tuple[str, ...] = ()
    #: Dotted paths of the reason for a failure; the first that exists is reported.
    reasons: tuple[str, ...] = ()


class Request(_Frozen):
    """One request.

    A string ``<name>`` in the parameters is a placeholder for a value from an earlier response.
    """

    service: str
    operation: str
    parameters: dict[str, Any]
    #: Short description; for a repeated request, the name of the resource whose state it queries.
    purpose: str
    #: Values of the response that later requests need: placeholder -> dotted path.
    keeps: dict[str, str] = {}
    #: Condition that ends the repetition of the request; None: it is sent once.
    until: Until | None = None
    #: File to upload, or file to which the body of the response is written.
    file: Path | None = None
    #: True if the file is an archive to be unpacked into its own folder.
    unpack: bool = False
    #: The request is sent only if this one finds nothing.
    unless: "Request | None" = None
    #: True if a missing resource is not an error.
    optional: bool = False
    #: True if every successful run creates the resource.
    expected: bool = True
    #: Validates the response before anything costs money: returns a warning or None, or raises.
    #: If the request itself is denied, the run continues with a warning.
    check: Callable[[dict[str, Any] | None], str | None] | None = None
    #: Set for a request without an idempotency token, which is therefore attempted only once.
    lost: "Lost | None" = None

    @property
    def method(self) -> str:
        """Name of the method of boto3's client."""
        return METHODS[self.service, self.operation]

    @property
    def needs(self) -> set[str]:
        """Placeholders whose values must be in earlier responses."""
        return _names(self.parameters)


class Lost(_Frozen):
    """How to find the resource of a request whose response was lost."""

    #: Request that lists the existing resources.
    request: Request
    #: Dotted path of the list in the response.
    path: str
    #: Unique name of the resource.
    name: str
    #: Placeholder -> dotted path in an entry of the list.
    keeps: dict[str, str]
    #: Command to run by hand if the resource is not in the list.
    by_hand: str


class Plan(_Frozen):
    """All requests of one command, in order."""

    #: Requests before anything costs money.
    prepare: tuple[Request, ...]
    #: Requests that start something that costs money.
    start: tuple[Request, ...]
    #: Request that queries the state of the run.
    follow: Request
    #: Request that is sent once after a failure to find its cause.
    diagnose: Request | None = None
    #: Dotted path of the cause in that response.
    diagnosis: str = ""
    #: Requests that download the record.
    fetch: tuple[Request, ...]
    #: Requests before ``end`` if the run is interrupted or reaches its time limit.
    cancel: tuple[Request, ...] = ()
    #: Requests that are always sent at the end, each one even if another fails.
    end: tuple[Request, ...] = ()
    #: Seconds after which this process stops the run, if AWS has not done so.
    deadline: float
    #: Location of the logs, for messages about failures.
    logs: str
    #: Command to run by hand if a request of ``end`` fails.
    by_hand: str = ""
    #: Warnings to show before anything is sent.
    warnings: tuple[str, ...] = ()

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests of a successful run, in order."""
        return (*self.prepare, *self.start, self.follow, *self.fetch, *self.end)

    @property
    def every_request(self) -> tuple[Request, ...]:
        """All requests that may be sent in any case."""
        found = [*self.requests, *self.cancel]
        found += [self.diagnose] if self.diagnose else []
        found += [request.unless for request in found if request.unless]
        found += [request.lost.request for request in found if request.lost]
        return tuple(found)


def resolve(value: Any, values: dict[str, str]) -> Any:
    """Return ``value`` with every placeholder replaced by its entry in ``values``."""
    if isinstance(value, dict):
        return {key: resolve(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, values) for item in value]
    return values.get(value, value) if isinstance(value, str) else value


def look_up(answer: Any, path: str) -> Any:
    """Return the element at the dotted ``path`` of a response, or None."""
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
