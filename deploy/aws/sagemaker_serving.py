"""An endpoint of SageMaker for a recorded network, made by MLflow's deployment client.

By default it is serverless: idle, it costs nothing. One on a machine costs by the hour whether it
is asked or not. The deletion of either is scheduled with AWS before it is made.
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

#: What policies know the project's endpoints by: MLflow derives all other names from it.
PREFIX = "sparkdl-bench-"
_FLAVOR = "python_function"
#: Seconds for an endpoint to come up, with a pull of its image.
_START_SECONDS = 1800
#: What SageMaker says of an endpoint that has not come to be.
_NO_ENDPOINT = "Could not find endpoint"


class EndpointOptions(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    region: str
    bucket: str
    #: Serving image in ECR (``mlflow sagemaker build-and-push-container``).
    image: str
    #: ARN of the role that the container has.
    role: str
    #: None is serverless.
    instance_type: str | None = None
    #: MB of a serverless container.
    memory_mb: int = Field(default=4096, ge=1024, le=6144, multiple_of=1024)
    #: ARN of the role that deletes the endpoint at its time.
    scheduler_role: str | None = None
    max_hours: float = Field(default=2.0, gt=0)
    price_per_hour: float | None = None

    @field_validator("name")
    @classmethod
    def _prefixed(cls, name: str) -> str:
        return name if name.startswith(PREFIX) else PREFIX + name

    def price(self) -> prices.Price:
        """Return what it costs by the hour, at most."""
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
    """Return the request that has AWS delete the endpoint at its time.

    Raises
    ------
    DeployError
        When nobody is named who may.
    """
    if options.scheduler_role is None:
        raise DeployError(
            "an endpoint costs until it is deleted: name the role that deletes it after "
            f"{options.max_hours:g} h with --scheduler-role (policy: 'python -m deploy iam "
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
        purpose=f"AWS deletes the endpoint at {end:%H:%M} UTC",
    )


def no_deletion(name: str) -> Request:
    """Return the request that takes back the scheduled deletion of the endpoint ``name``.

    It would delete a later endpoint of that name before its time.
    """
    return Request(
        service="scheduler",
        operation="DeleteSchedule",
        parameters={"Name": name},
        purpose="no deletion is left of an earlier endpoint of this name",
        optional=True,
    )


def planned(options: EndpointOptions, now: datetime) -> list[tuple[str, str, dict[str, Any]]]:
    """Return service, operation and parameters of what is sent, in order.

    MLflow makes these requests; ``UNIQUE`` stands for what it draws.
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
    """Make the endpoint; return when it answers.

    Raises
    ------
    DeployError
        When it does not come up; what was made of it is deleted.
    """
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException

    aws = Aws(options.region)
    _check_new(aws, options.name)
    for request in (no_deletion(options.name), deletion(options, datetime.now(UTC))):
        show(f"{request.operation}: {request.purpose}")
        aws.send(request, {})
    client = get_deploy_client(f"sagemaker:/{options.region}")
    show(f"MLflow makes {options.name} from {options.model}")
    made = False
    try:
        with aws_errors("the deployment"):
            client.create_deployment(
                options.name, options.model, flavor=_FLAVOR, config=deployment_config(options)
            )
        made = True
    except MlflowException as error:
        raise DeployError(" ".join(str(error).split())) from error
    finally:
        if not made:
            with undisturbed(lambda: show("still deleting what was made, this must not be cut")):
                _delete_endpoint(aws, options.name, show)


def remove(name: str, region: str) -> None:
    """Delete an endpoint with its configuration, model, archive and scheduled deletion.

    Raises
    ------
    DeployError
        When there is none.
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


def _check_new(aws: Aws, name: str) -> None:
    """Refuse a name that is taken: what fails later is deleted, and must be ours."""
    with aws_errors("ListEndpoints"):
        found = aws.client("sagemaker").list_endpoints(NameContains=name)["Endpoints"]
    if any(endpoint["EndpointName"] == name for endpoint in found):
        raise DeployError(
            f"there is an endpoint {name}: use another --name, or delete it with 'python -m deploy "
            f"sagemaker stop {name}'"
        )


def _delete_endpoint(aws: Aws, name: str, show: Callable[[str], None]) -> None:
    request = Request(
        service="sagemaker",
        operation="DeleteEndpoint",
        parameters={"EndpointName": name},
        purpose="nothing is left running",
    )
    try:
        aws.send(request, {})
        show(f"{request.operation}: {request.purpose}")
    except DeployError as error:
        if _NO_ENDPOINT not in str(error):
            show(f"warning: {name} may be left until AWS deletes it at its time: {error}")
            return
    with suppress(DeployError):  # it deletes what is not there
        aws.send(no_deletion(name), {})
