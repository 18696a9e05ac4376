"""An endpoint of SageMaker for a recorded model, created with MLflow's deployment client.

The archive ``model.tar.gz`` is the folder of the MLflow model, whose ``artifacts/classifier`` the
project's own service reads: the image's command ``serve`` answers requests without MLflow.

By default the endpoint is serverless and costs nothing while idle. One on a dedicated machine costs
by the hour, with or without requests. The deletion of either is scheduled with AWS before the
endpoint is created.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deploy.aws import prices
from deploy.aws.client import Aws, aws_errors
from deploy.aws.job import TAG
from deploy.aws.plan import Request
from deploy.errors import DeployError
from experiments.processes.ending import undisturbed

#: Prefix by which policies identify the project's endpoints; MLflow derives all other names from
#: the endpoint's.
PREFIX = "sparkdl-bench-"
_FLAVOR = "python_function"
#: Artifact of the model that the service reads.
_CLASSIFIER = "classifier"
#: Timeout in seconds for an endpoint to start, including the download of its image.
_START_SECONDS = 1800
#: Part of SageMaker's message about an endpoint that does not exist.
_NO_ENDPOINT = "Could not find endpoint"


class EndpointOptions(BaseModel):
    """Options of an endpoint."""

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    region: str
    bucket: str
    #: Image in ECR, built with ``docker build --target sagemaker``.
    image: str
    #: ARN of the container's role.
    role: str
    #: Type of the dedicated machine; None for a serverless endpoint.
    instance_type: str | None = None
    #: Memory of a serverless container, in MB.
    memory_mb: int = Field(default=4096, ge=1024, le=6144, multiple_of=1024)
    #: ARN of the role that deletes the endpoint after ``max_hours``.
    scheduler_role: str | None = None
    max_hours: float = Field(default=2.0, gt=0)
    price_per_hour: float | None = None

    @field_validator("name")
    @classmethod
    def _prefixed(cls, name: str) -> str:
        return name if name.startswith(PREFIX) else PREFIX + name

    def price(self) -> prices.Price:
        """Return the maximum price per hour."""
        if self.instance_type is None:
            return prices.of_requests(self.memory_mb / 1024, self.region)
        return prices.of_instances(
            "sagemaker", self.instance_type, 1, self.region, self.price_per_hour
        )


def deployment_config(options: EndpointOptions) -> dict[str, Any]:
    """Return the configuration for MLflow's client."""
    config: dict[str, Any] = {
        "execution_role_arn": options.role,
        "bucket": options.bucket,
        "image_url": options.image,
        "region_name": options.region,
        "timeout_seconds": _START_SECONDS,
        "tags": {"project": TAG},
    }
    if options.instance_type is None:
        return config | {
            "serverless_config": {"MemorySizeInMB": options.memory_mb, "MaxConcurrency": 1}
        }
    return config | {"instance_type": options.instance_type, "instance_count": 1}


def deletion(options: EndpointOptions, now: datetime) -> Request:
    """Return the request that schedules the deletion of the endpoint with AWS.

    Raises
    ------
    DeployError
        If no role for the deletion is given.
    """
    if options.scheduler_role is None:
        raise DeployError(
            "an endpoint costs money until it is deleted: set --scheduler-role to the role that "
            f"deletes it after {options.max_hours:g} h (policy: 'sparkdl-bench deploy iam "
            "scheduler-role')"
        )
    end = now.astimezone(UTC) + timedelta(hours=options.max_hours)
    return Request(
        service="scheduler",
        operation="CreateSchedule",
        parameters={
            "Name": options.name,
            "ScheduleExpression": f"at({end:%Y-%m-%dT%H:%M:%S})",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
                "RoleArn": options.scheduler_role,
                "Input": json.dumps({"EndpointName": options.name}),
            },
        },
        purpose=f"schedule the deletion of the endpoint at {end:%H:%M} UTC",
    )


def no_deletion(name: str) -> Request:
    """Return the request that removes the scheduled deletion of the endpoint ``name``.

    A leftover schedule would delete a later endpoint with the same name too early.
    """
    return Request(
        service="scheduler",
        operation="DeleteSchedule",
        parameters={"Name": name},
        purpose="remove the scheduled deletion of an earlier endpoint with this name",
        optional=True,
    )


def planned(options: EndpointOptions, now: datetime) -> list[tuple[str, str, dict[str, Any]]]:
    """Return service, operation and parameters of all requests, in order.

    MLflow generates some of these requests; ``UNIQUE`` is a placeholder for its random suffixes.
    """
    model, config = f"{options.name}-model-UNIQUE", f"{options.name}-config-UNIQUE"
    key = f"{model}/model.tar.gz"
    variant: dict[str, Any] = {"VariantName": model, "ModelName": model, "InitialVariantWeight": 1}
    given = deployment_config(options)
    if "serverless_config" in given:
        variant["ServerlessConfig"] = given["serverless_config"]
    else:
        variant |= {"InstanceType": options.instance_type, "InitialInstanceCount": 1}
    container = {
        "Image": options.image,
        "ModelDataUrl": f"s3://{options.bucket}/{key}",
        "Environment": {
            "MLFLOW_DEPLOYMENT_FLAVOR_NAME": _FLAVOR,
            "SERVING_ENVIRONMENT": "SageMaker",
        },
    }
    tags = [{"Key": "project", "Value": TAG}]
    schedules = [no_deletion(options.name), deletion(options, now)]
    app = {"Key": "app_name", "Value": options.name}
    return [
        ("sagemaker", "ListEndpoints", {"NameContains": options.name}),
        *[(request.service, request.operation, request.parameters) for request in schedules],
        ("sagemaker", "ListEndpoints", {}),
        ("s3", "PutObject", {"Bucket": options.bucket, "Key": key}),
        ("s3", "PutObjectTagging", {"Bucket": options.bucket, "Key": key}),
        (
            "sagemaker",
            "CreateModel",
            {
                "ModelName": model,
                "PrimaryContainer": container,
                "ExecutionRoleArn": options.role,
                "Tags": [*tags, {"Key": "model_uri", "Value": options.model}],
            },
        ),
        (
            "sagemaker",
            "CreateEndpointConfig",
            {"EndpointConfigName": config, "ProductionVariants": [variant], "Tags": [app]},
        ),
        (
            "sagemaker",
            "CreateEndpoint",
            {"EndpointName": options.name, "EndpointConfigName": config, "Tags": [app, *tags]},
        ),
    ]


def deploy(options: EndpointOptions, show: Callable[[str], None]) -> None:
    """Create the endpoint and wait until it is in service.

    Raises
    ------
    DeployError
        If the model cannot be served, or the endpoint does not start; the created parts are
        deleted.
    """
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException

    check_model(options.model)
    aws = Aws(options.region)
    _check_new(aws, options.name)
    for request in (no_deletion(options.name), deletion(options, datetime.now(UTC))):
        show(f"{request.operation}: {request.purpose}")
        aws.send(request, {})
    client = get_deploy_client(f"sagemaker:/{options.region}")
    show(f"MLflow creates {options.name} from {options.model}")
    created = False
    try:
        with aws_errors("the deployment"):
            client.create_deployment(
                options.name, options.model, flavor=_FLAVOR, config=deployment_config(options)
            )
        created = True
    except MlflowException as error:
        raise DeployError(" ".join(str(error).split())) from error
    finally:
        if not created:
            with undisturbed(lambda: show("still deleting what was created, please wait")):
                _delete_endpoint(aws, options.name, show)


def remove(name: str, region: str) -> None:
    """Delete an endpoint with its configuration, model, archive and scheduled deletion.

    Raises
    ------
    DeployError
        If there is no such endpoint, or AWS rejects the deletion.
    """
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException

    name = name if name.startswith(PREFIX) else PREFIX + name
    client = get_deploy_client(f"sagemaker:/{region}")
    try:
        with aws_errors("the deletion"):
            client.delete_deployment(name, config={"region_name": region})
    except MlflowException as error:
        raise DeployError(" ".join(str(error).split())) from error
    Aws(region).send(no_deletion(name), {})


def check_model(uri: str) -> None:
    """Check that a model has what the image needs to serve it.

    Raises
    ------
    DeployError
        If there is no such model, or it has no classifier.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    try:
        flavor = get_model_info(uri).flavors.get(_FLAVOR, {})
    except (MlflowException, OSError) as error:
        raise DeployError(f"{uri} is not a model: {' '.join(str(error).split())}") from error
    if _CLASSIFIER not in (flavor.get("artifacts") or {}):
        raise DeployError(
            f"{uri} has no model card, without which the image cannot serve it: train again, or "
            "name another model"
        )


def _check_new(aws: Aws, name: str) -> None:
    """Reject a name that is taken, because a failed deployment deletes the endpoint."""
    with aws_errors("ListEndpoints"):
        found = aws.client("sagemaker").list_endpoints(NameContains=name)["Endpoints"]
    if any(endpoint["EndpointName"] == name for endpoint in found):
        raise DeployError(
            f"there is an endpoint {name}: use another --name, or delete it with "
            f"'sparkdl-bench deploy sagemaker stop {name}'"
        )


def _delete_endpoint(aws: Aws, name: str, show: Callable[[str], None]) -> None:
    request = Request(
        service="sagemaker",
        operation="DeleteEndpoint",
        parameters={"EndpointName": name},
        purpose="delete the endpoint",
    )
    try:
        aws.send(request, {})
        show(f"{request.operation}: {request.purpose}")
    except DeployError as error:
        if _NO_ENDPOINT not in str(error):
            show(f"warning: {name} may remain until its scheduled deletion by AWS: {error}")
            return
    with suppress(DeployError):  # without the endpoint, a leftover schedule has no effect
        aws.send(no_deletion(name), {})
