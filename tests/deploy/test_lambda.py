"""``deploy lambda``: requests against moto, the archive, and the permissions."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from deploy.aws import iam
from deploy.aws.lambda_ import deployment
from deploy.aws.lambda_.deployment import _described
from deploy.aws.lambda_.options import FunctionOptions
from deploy.aws.lambda_.resources import identification, parts, preparation
from tests.deploy.aws import REGION, Sent, call, shown, trouble

NAME = "sparkdl-bench-lambda-cells"
OPTIONS = ["lambda", "--endpoint", "sparkdl-bench-cells", "--region", REGION]
#: Actions in IAM for methods of API Gateway, which are those of HTTP.
HTTP = {"Get": "GET", "Create": "POST", "Update": "PATCH", "Delete": "DELETE"}
#: Permissions that AWS requires in addition, for tags and the passed role.
BESIDE = {
    "logs:TagResource",
    "lambda:TagResource",
    "apigateway:TagResource",
    "apigateway:PUT",
    "iam:TagRole",
    "iam:PassRole",
}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses of the deployment, which are not waited for."""
    noted: list[float] = []
    monkeypatch.setattr(deployment, "sleep", noted.append)
    return noted


@pytest.fixture
def endpoint(sent: Sent, pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> Sent:
    """An endpoint, and the requests that are sent afterwards."""
    sagemaker = boto3.client("sagemaker", region_name=REGION)
    role = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/sparkdl-bench-sagemaker"
    variant = {"VariantName": "all", "ModelName": "cells", "InitialInstanceCount": 1}
    sagemaker.create_model(ModelName="cells", ExecutionRoleArn=role)
    sagemaker.create_endpoint_config(
        EndpointConfigName="cells",
        ProductionVariants=[variant | {"InstanceType": "ml.m5.large", "InitialVariantWeight": 1}],
    )
    sagemaker.create_endpoint(EndpointName="sparkdl-bench-cells", EndpointConfigName="cells")
    add_stage_updates(monkeypatch, sent)
    sent.clear()
    return sent


def add_stage_updates(monkeypatch: pytest.MonkeyPatch, sent: Sent) -> None:
    """Add the operation UpdateStage, which moto lacks."""
    from botocore.client import BaseClient

    original = BaseClient._make_api_call

    def call(self, name: str, parameters: dict[str, Any]) -> Any:
        if name != "UpdateStage":
            return original(self, name, parameters)
        sent.append((self.meta.service_model.service_name, name, parameters))
        stage = api_backend().get_stage(parameters["ApiId"], parameters["StageName"])
        stage.route_settings = parameters["RouteSettings"]
        return {}

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def api_backend() -> Any:
    return get_backend("apigatewayv2")[DEFAULT_ACCOUNT_ID][REGION]


def existing() -> list[str]:
    """Return what exists of a deployment."""
    found = []
    client = {
        name: boto3.client(name, region_name=REGION)
        for name in ("iam", "lambda", "apigatewayv2", "logs")
    }
    found += [f"role {one['RoleName']}" for one in client["iam"].list_roles()["Roles"]]
    functions = client["lambda"].list_functions()["Functions"]
    found += [f"function {one['FunctionName']}" for one in functions]
    found += [f"API {one['Name']}" for one in client["apigatewayv2"].get_apis()["Items"]]
    groups = client["logs"].describe_log_groups()["logGroups"]
    return found + [f"log {one['logGroupName']}" for one in groups]


def comparable(value: Any) -> Any:
    """Return parameters with an archive as the dry run describes it."""
    return json.loads(json.dumps(value, default=_described))


def same(planned: Any, really: Any, values: dict[str, str]) -> bool:
    """Return whether parameters are those of the dry run; its placeholders get their values."""
    if isinstance(planned, dict):
        return planned.keys() == really.keys() and all(
            same(planned[key], really[key], values) for key in planned
        )
    if isinstance(planned, list):
        return len(planned) == len(really) and all(
            same(one, other, values) for one, other in zip(planned, really, strict=True)
        )
    if planned == "<route>":
        return really in [
            route.route_id for api in api_backend().apis.values() for route in api.routes.values()
        ]
    if isinstance(planned, str):
        for name, found in values.items():
            planned = planned.replace(name, found)
    return bool(planned == really)


def ids() -> dict[str, str]:
    """Return the values of the placeholders."""
    (api,) = api_backend().apis.values()
    (integration,) = api.integrations.values()
    arn = f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:{NAME}"
    return {
        "<account>": DEFAULT_ACCOUNT_ID,
        "<role>": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/{NAME}",
        "<function>": arn,
        "<api>": api.api_id,
        "<integration>": integration.id,
    }


class TestDeployment:
    def test_the_requests_of_a_dry_run_are_those_that_are_sent(self, endpoint: Sent) -> None:
        dry = call(*OPTIONS, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert endpoint == []
        planned = shown(dry.stdout, well=True)
        done = call(*OPTIONS)
        assert done.exit_code == 0, done.output
        assert [request[:2] for request in endpoint] == [request[:2] for request in planned]
        values = ids()
        for (*_, really), (*_, expected) in zip(endpoint, planned, strict=True):
            assert same(expected, comparable(really), values), (expected, really)
        assert done.stdout == f"https://{values['<api>']}.execute-api.{REGION}.amazonaws.com/\n"
        assert "--delete" in done.stderr
        assert "the address is public" in done.stderr

    def test_function_api_limits_and_role(self, endpoint: Sent) -> None:
        assert call(*OPTIONS, "--rate", "3", "--burst", "5").exit_code == 0
        assert existing() == [
            f"role {NAME}", f"function {NAME}", f"API {NAME}", f"log /aws/lambda/{NAME}",
        ]  # fmt: skip
        values = ids()
        (stage,) = api_backend().apis[values["<api>"]].stages.values()
        assert stage.route_settings == {
            "POST /predict": {"throttlingRateLimit": 3.0, "throttlingBurstLimit": 5}
        }
        assert stage.default_route_settings["throttlingRateLimit"] == 50
        role = boto3.client("iam").get_role_policy(RoleName=NAME, PolicyName="endpoint")
        allowed = {
            (action, statement["Resource"])
            for statement in role["PolicyDocument"]["Statement"]
            for action in statement["Action"]
        }
        here = f"{REGION}:{DEFAULT_ACCOUNT_ID}"
        log = f"arn:aws:logs:{here}:log-group:/aws/lambda/{NAME}:*"
        assert allowed == {
            ("sagemaker:InvokeEndpoint", f"arn:aws:sagemaker:{here}:endpoint/sparkdl-bench-cells"),
            ("logs:CreateLogStream", log),
            ("logs:PutLogEvents", log),
        }
        client = boto3.client("lambda", region_name=REGION)
        policy = json.loads(client.get_policy(FunctionName=NAME)["Policy"])
        (statement,) = policy["Statement"]
        source = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
        assert source == f"arn:aws:execute-api:{here}:{values['<api>']}/*/*"

    def test_a_second_call_updates_and_keeps_the_address(
        self, endpoint: Sent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = call(*OPTIONS)
        before = existing()
        values = ids()
        planned = shown(call(*OPTIONS, "--rate", "99", "--dry-run").stdout)
        endpoint.clear()
        second = call(*OPTIONS, "--rate", "99")
        assert second.exit_code == 0, second.output
        for service, name, really in endpoint:
            assert any(
                (service, name) == expected[:2] and same(expected[2], comparable(really), values)
                for expected in planned
            ), (name, really)
        assert second.stdout == first.stdout
        assert [name for _, name, _ in endpoint if name.startswith("Update")] == [
            "UpdateFunctionCode", "UpdateFunctionConfiguration", "UpdateIntegration",
            "UpdateRoute", "UpdateRoute", "UpdateStage",
        ]  # fmt: skip
        created = [name for _, name, _ in endpoint if name.startswith(("Create", "Add"))]
        assert created == []
        assert existing() == before
        (stage,) = api_backend().apis[ids()["<api>"]].stages.values()
        assert stage.route_settings["POST /predict"]["ThrottlingRateLimit"] == 99

    def test_an_existing_role_is_used_and_kept(self, endpoint: Sent) -> None:
        client = boto3.client("iam")
        role = client.create_role(RoleName="sparkdl-bench-lambda", AssumeRolePolicyDocument="{}")
        arn = role["Role"]["Arn"]
        endpoint.clear()
        assert call(*OPTIONS, "--role", arn).exit_code == 0
        assert call(*OPTIONS, "--role", arn, "--delete").exit_code == 0
        assert not [name for service, name, _ in endpoint if service == "iam"]
        assert existing() == ["role sparkdl-bench-lambda"]

    def test_lambda_learns_of_a_new_role_after_a_while(
        self, endpoint: Sent, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: Any) -> None:
            message = "The role defined for the function cannot be assumed by Lambda."
            error = {"Code": "InvalidParameterValueException", "Message": message}
            raise ClientError({"Error": error}, "CreateFunction")

        trouble(monkeypatch, "CreateFunction", refuse, refuse)
        assert call(*OPTIONS).exit_code == 0
        assert len(pauses) == 2

    def test_an_endpoint_that_does_not_exist_is_named(self, endpoint: Sent) -> None:
        done = call("lambda", "--endpoint", "other", "--region", REGION)
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1].startswith("error: there is no endpoint other in")
        assert existing() == []

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--rate", "0"), ("--burst", "0"), ("--name", "a_b"), ("--endpoint", "a-")],
    )
    def test_a_value_that_aws_would_refuse_is_named(
        self, endpoint: Sent, option: str, value: str
    ) -> None:
        done = call(*OPTIONS, option, value)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {option}: ")
        assert endpoint == []


class TestDeletion:
    def test_nothing_is_left(self, endpoint: Sent) -> None:
        assert call(*OPTIONS).exit_code == 0
        endpoint.clear()
        dry = call(*OPTIONS, "--delete", "--dry-run")
        assert endpoint == []
        done = call(*OPTIONS, "--delete")
        assert done.exit_code == 0, done.output
        sent = [request[:2] for request in endpoint]
        assert existing() == []
        assert "deleted: API, function, role, log group" in done.stderr
        planned = [request[:2] for request in shown(dry.stdout)]
        # An API is sought once more, because several can have the same name.
        again = planned.index(("apigatewayv2", "DeleteApi")) + 1
        assert sent.pop(again) == ("apigatewayv2", "GetApis")
        assert sent == planned

    def test_a_second_deletion_finds_nothing(self, endpoint: Sent) -> None:
        done = call(*OPTIONS, "--delete")
        assert done.exit_code == 0
        assert done.stderr.endswith(f"nothing named {NAME} exists in {REGION}\n")

    def test_apis_of_others_are_kept(self, endpoint: Sent) -> None:
        client = boto3.client("apigatewayv2", region_name=REGION)
        client.create_api(Name=NAME, ProtocolType="HTTP")  # without the project's tag
        assert call(*OPTIONS).exit_code == 0
        assert call(*OPTIONS, "--delete").exit_code == 0
        assert existing() == [f"API {NAME}"]

    CREATED = (
        "CreateLogGroup", "PutRetentionPolicy", "CreateRole", "PutRolePolicy", "CreateFunction",
        "CreateApi", "CreateIntegration", "CreateRoute", "AddPermission", "CreateStage",
    )  # fmt: skip

    @pytest.mark.slow
    @pytest.mark.parametrize("operation", CREATED)
    @pytest.mark.parametrize("carried_out", [True, False])
    def test_a_failure_leaves_nothing(
        self,
        endpoint: Sent,
        monkeypatch: pytest.MonkeyPatch,
        operation: str,
        carried_out: bool,
    ) -> None:
        def fail(send: Any) -> None:
            if carried_out:
                send()
            error = {"Code": "AccessDeniedException", "Message": "not allowed"}
            raise ClientError({"Error": error}, operation)

        trouble(monkeypatch, operation, fail)
        done = call(*OPTIONS)
        assert done.exit_code == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: AWS does not allow {operation}")
        assert done.stdout == ""
        assert existing() == []

    def test_a_failed_update_keeps_what_was_there(
        self, endpoint: Sent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert call(*OPTIONS).exit_code == 0
        before = existing()

        def fail(_: Any) -> None:
            raise ClientError({"Error": {"Code": "Odd", "Message": "no"}}, "UpdateRoute")

        trouble(monkeypatch, "UpdateRoute", fail)
        assert call(*OPTIONS).exit_code == 1
        assert existing() == before

    def test_ctrl_c_leaves_nothing(self, endpoint: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(_: Any) -> None:
            raise KeyboardInterrupt

        trouble(monkeypatch, "CreateRoute", interrupt)
        done = call(*OPTIONS)
        assert done.exit_code == 130
        assert "interrupted: everything created was deleted" in done.stderr
        assert existing() == []

    def test_what_cannot_be_deleted_is_said_with_the_command(
        self, endpoint: Sent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: Any) -> None:
            raise ClientError({"Error": {"Code": "Odd", "Message": "no"}}, "CreateStage")

        trouble(monkeypatch, "CreateStage", fail)
        trouble(monkeypatch, "DeleteFunction", fail)
        done = call(*OPTIONS)
        assert done.exit_code == 1
        last = done.stderr.splitlines()[-1]
        assert "not everything could be deleted, repeat it with: uv run" in last
        assert last.endswith(f"--name {NAME} --region {REGION} --delete")
        assert existing() == [f"function {NAME}"]
        assert call(*OPTIONS, "--delete").exit_code == 0
        assert existing() == []


def test_the_policies_allow_the_requests_and_no_more() -> None:
    options = FunctionOptions(name="cells", endpoint="cells", region=REGION)
    every = [*preparation(options), *identification()]
    for part in parts(options):
        every += [part.find, *part.create, *part.update, *part.delete]
    needed = set()
    for request in every:
        if request.service == "apigatewayv2":
            (method,) = (HTTP[verb] for verb in HTTP if request.operation.startswith(verb))
            needed.add(f"apigateway:{method}")
        elif request.service != "sts":  # every identity may ask for itself
            needed.add(f"{request.service}:{request.operation}")
    allowed = iam.actions(iam.template("lambda-user"))
    allowed |= iam.actions(iam.template("lambda-user-role"))
    assert allowed == needed | BESIDE
