"""The policies allow the requests of the commands and nothing else."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.aws import iam, run_options
from deploy.aws.emr import cluster as emr
from deploy.aws.emr import serverless as emr_serverless
from deploy.aws.iam_cli import _PURPOSES
from deploy.aws.plan import Plan
from deploy.aws.sagemaker import serving as sagemaker_serving
from deploy.aws.sagemaker import training as sagemaker_training
from deploy.aws.storage import Place
from tests.deploy.aws import BUCKET, REGION, ROLE, call

#: Service names of boto3 that differ in IAM.
SERVICES = {"emr": "elasticmapreduce"}
#: Operations whose action in IAM has another name.
ACTIONS = {"s3:HeadObject": "s3:GetObject"}
#: Permissions that AWS requires in addition to the operations that are sent: for tags, passed
#: roles, the parts of an aborted upload, and a HeadObject that distinguishes a missing object from
#: a forbidden one.
BESIDE = {
    "emr-user": {"elasticmapreduce:AddTags", "iam:PassRole", "iam:CreateServiceLinkedRole"},
    "emr-serverless-user": {
        "emr-serverless:TagResource",
        "iam:PassRole",
        "iam:CreateServiceLinkedRole",
    },
    "sagemaker-user": {"sagemaker:AddTags", "iam:PassRole"},
}
STORAGE = {"s3:AbortMultipartUpload", "s3:ListBucket"}
#: Actions of the requests that MLflow sends to stop an endpoint.
STOP = {
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DescribeModel",
    "sagemaker:DeleteModel",
    "sagemaker:DeleteEndpoint",
    "s3:DeleteObject",
}
#: Actions that do not support resource-level permissions.
WITHOUT_RESOURCE = {
    "elasticmapreduce:RunJobFlow",
    "elasticmapreduce:AddTags",
    "elasticmapreduce:ListClusters",
    "emr-serverless:CreateApplication",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "sagemaker:ListEndpoints",
    "ecr:GetAuthorizationToken",
}


def actions_of(plans: list[Plan]) -> set[str]:
    sent = [request for plan in plans for request in plan.every_request]
    named = {
        f"{SERVICES.get(request.service, request.service)}:{request.operation}" for request in sent
    }
    return {ACTIONS.get(action, action) for action in named}


@pytest.fixture
def sent(tmp_path: Path) -> dict[str, set[str]]:
    """Actions of all requests that each command may send, by policy."""
    environment = tmp_path / "environment.tar.gz"
    environment.write_bytes(b"x")
    common: dict[str, Any] = {
        "place": Place(bucket=BUCKET, prefix="p", run="r"),
        "region": REGION,
        "run": run_options.parse(["--backend", "elephas"]),
        "output": tmp_path,
        "staging": tmp_path,
        "environment": str(environment),
    }
    training = {key: common[key] for key in ("place", "region", "run", "output")}
    endpoint = sagemaker_serving.EndpointOptions(
        name="cells",
        model="models:/cells/1",
        region=REGION,
        bucket=BUCKET,
        image="image",
        role=ROLE,
        instance_type="ml.m5.large",
        scheduler_role=ROLE,
    )
    served = {
        f"{service}:{operation}"
        for service, operation, _ in sagemaker_serving.planned(endpoint, datetime.now(UTC))
    }
    job = sagemaker_training.TrainingOptions(**training, image="image", role=ROLE)
    return {
        "emr-user": actions_of(
            [
                emr.plan(emr.EmrOptions(**common)),
                emr.plan(emr.EmrOptions(**common, cluster="j-1")),
            ]
        )
        | STORAGE,
        "emr-serverless-user": actions_of(
            [emr_serverless.plan(emr_serverless.ServerlessOptions(**common, role=ROLE))]
        )
        | STORAGE,
        "sagemaker-user": actions_of([sagemaker_training.plan(job)])
        | served
        | STOP
        | {"s3:AbortMultipartUpload"},
    }


@pytest.mark.slow
@pytest.mark.parametrize("policy", list(BESIDE))
def test_a_user_may_do_what_is_sent_and_no_more(policy: str, sent: dict[str, set[str]]) -> None:
    assert iam.actions(iam.template(policy)) == sent[policy] | BESIDE[policy]


def statements() -> Iterator[tuple[str, dict]]:
    for name in iam.names():
        for statement in iam.template(name)["Statement"]:
            yield name, statement


def test_no_policy_allows_everything_of_anything() -> None:
    for name, statement in statements():
        assert not any("*" in action for action in statement["Action"]), name
        if statement.get("Resource") == "*":
            assert set(statement["Action"]) <= WITHOUT_RESOURCE, name


def test_a_role_is_handed_over_by_name_to_one_service() -> None:
    handed = [item for _, item in statements() if "iam:PassRole" in item["Action"]]
    assert len(handed) == 8
    for statement in handed:
        assert "*" not in statement["Resource"]
        assert statement["Condition"]["StringEquals"].keys() == {"iam:PassedToService"}


def test_what_is_made_carries_the_tag_where_its_name_is_not_known_before() -> None:
    """These actions have no resource, so that a condition on one would allow nothing."""
    for policy, action in [
        ("emr-user", "elasticmapreduce:RunJobFlow"),
        ("emr-serverless-user", "emr-serverless:CreateApplication"),
    ]:
        (found,) = (s for s in iam.template(policy)["Statement"] if action in s["Action"])
        assert found["Resource"] == "*"
        assert found["Condition"]["StringEquals"] == {
            "aws:RequestTag/project": "sparkdl-bench",
            "aws:RequestedRegion": "@REGION@",
        }


def test_a_user_makes_network_interfaces_through_emr_serverless_alone() -> None:
    (statement,) = iam.template("emr-serverless-user-vpc")["Statement"]
    assert statement["Action"] == ["ec2:CreateNetworkInterface"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:CalledViaLast": "ops.emr-serverless.amazonaws.com"
    }


def test_what_the_service_role_needs_beside_its_policy_is_said_beside_the_json() -> None:
    done = call("iam", "emr-service-role", "--account", "123456789012")
    assert json.loads(done.stdout)["Version"] == "2012-10-17"
    for words in (
        "AmazonEMRServicePolicy_v2",
        "Key=for-use-with-amazon-emr-managed-policies,Value=true",
        "aws iam create-instance-profile --instance-profile-name sparkdl-bench-job",
        "aws emr add-tags --resource-id j-... --tags project=sparkdl-bench",
    ):
        assert words in done.stderr


def test_every_policy_is_listed_and_can_be_filled_in() -> None:
    assert set(_PURPOSES) == set(iam.names())
    where = ["--bucket", "mine", "--account", "123456789012", "--region", REGION]
    for name in iam.names():
        done = call("iam", name, *where)
        assert done.exit_code == 0, done.output
        assert "@" not in done.stdout
        assert json.loads(done.stdout)["Version"] == "2012-10-17"


def test_what_is_missing_is_named() -> None:
    done = call("iam", "emr-user", "--bucket", "mine")
    assert done.exit_code == 2
    assert "needs --account, --region" in done.stderr
    assert "no policy 'admin'" in call("iam", "admin").stderr
