"""``sparkdl-bench deploy iam``: least-privilege policies with their values filled in."""

import json
import sys
from typing import Annotated

import typer

from data.command_line import plain_errors

#: The user or role that each policy is for.
_PURPOSES = {
    "emr-user": "users of 'deploy emr'",
    "emr-serverless-user": "users of 'deploy emr --serverless'",
    "emr-serverless-user-vpc": "in addition to emr-serverless-user, for --subnet",
    "sagemaker-user": "users of 'deploy sagemaker'",
    "job-role": "machines and jobs of EMR (sparkdl-bench-job)",
    "job-trust": "trust policy of sparkdl-bench-job",
    "emr-service-role": (
        "EMR, in addition to AWS's AmazonEMRServicePolicy_v2 (sparkdl-bench-emr-service)"
    ),
    "emr-service-trust": "trust policy of sparkdl-bench-emr-service",
    "sagemaker-role": "containers of SageMaker (sparkdl-bench-sagemaker)",
    "sagemaker-role-vpc": "in addition to sagemaker-role, for --subnet",
    "sagemaker-trust": "trust policy of sparkdl-bench-sagemaker",
    "lambda-user": "users of 'deploy lambda --role'",
    "lambda-user-role": "in addition to lambda-user, to create the role too",
    "lambda-role": "functions of 'deploy lambda --role' (sparkdl-bench-lambda)",
    "lambda-trust": "trust policy of sparkdl-bench-lambda",
    "scheduler-role": "scheduled deletion of endpoints (sparkdl-bench-scheduler)",
    "scheduler-trust": "trust policy of sparkdl-bench-scheduler",
}
#: Steps that a policy requires in addition.
_NOTES = {
    "lambda-user-role": """\
A user who creates roles decides on their permissions. Without this policy, 'deploy lambda' needs
--role with a role that an administrator has created (lambda-role, lambda-trust).
""",
    "emr-service-role": """\
The role also needs AWS's AmazonEMRServicePolicy_v2, which creates machines only in tagged networks:
tag the subnet, its VPC and your own security groups.
  aws ec2 create-tags --resources subnet-... vpc-... sg-... \\
      --tags Key=for-use-with-amazon-emr-managed-policies,Value=true
Machines receive the role sparkdl-bench-job through an instance profile with the same name:
  aws iam create-instance-profile --instance-profile-name sparkdl-bench-job
  aws iam add-role-to-instance-profile --instance-profile-name sparkdl-bench-job \\
      --role-name sparkdl-bench-job
Users with the policy emr-user can use an existing cluster (--cluster) if it has the project's tag:
  aws emr add-tags --resource-id j-... --tags project=sparkdl-bench
""",
}


def iam(
    policy: Annotated[
        str | None, typer.Argument(help="Name of a policy; default: list all policies.")
    ] = None,
    bucket: Annotated[str | None, typer.Option(help="Bucket for code and record.")] = None,
    prefix: Annotated[str, typer.Option(help="Prefix in the bucket.")] = "sparkdl-bench",
    images: Annotated[
        str | None, typer.Option(help="BUCKET/PREFIX of your images; default: below --prefix.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="AWS account id, twelve digits.")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    max_hours: Annotated[float, typer.Option(help="Longest training job allowed, in hours.")] = 2.0,
    endpoint: Annotated[
        str, typer.Option(help="Endpoint behind 'deploy lambda'; * stands for any characters.")
    ] = "sparkdl-bench-*",
) -> None:
    """Print an IAM policy with your bucket, account and region filled in."""
    from deploy.aws.iam import filled, names
    from deploy.aws.lambda_.names import function_name, in_arn

    if policy is None:
        for name in names():
            sys.stdout.write(f"{name:24} {_PURPOSES[name]}\n")
        return
    images = images or (f"{bucket}/{prefix.strip('/')}" if bucket else None)
    given = {
        "BUCKET": bucket,
        "PREFIX": prefix.strip("/"),
        "IMAGES": images,
        "IMAGES_BUCKET": images and images.partition("/")[0],
        "ACCOUNT": account,
        "REGION": region,
        "MAX_SECONDS": str(round(max_hours * 3600)),
        "ENDPOINT": in_arn(endpoint),
        "FUNCTION": function_name(endpoint),
    }
    with plain_errors():
        found = filled(policy, {key: value for key, value in given.items() if value is not None})
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.stderr.write(_NOTES.get(policy, ""))
