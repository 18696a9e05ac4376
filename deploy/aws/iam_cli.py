"""``python -m deploy iam``: least-rights policies, filled in."""

import json
import sys
from typing import Annotated

import typer

from data.command_line import plain_errors

#: What each policy is for.
_PURPOSES = {
    "emr-user": "whoever runs 'deploy emr'",
    "emr-serverless-user": "whoever runs 'deploy emr --serverless'",
    "emr-serverless-user-vpc": "the same with --subnet, beside it",
    "sagemaker-user": "whoever runs 'deploy sagemaker'",
    "job-role": "the machines and jobs of EMR (sparkdl-bench-job)",
    "job-trust": "who may take on sparkdl-bench-job",
    "emr-service-role": "EMR, beside AWS's AmazonEMRServicePolicy_v2 (sparkdl-bench-emr-service)",
    "emr-service-trust": "who may take on sparkdl-bench-emr-service",
    "sagemaker-role": "containers of SageMaker (sparkdl-bench-sagemaker)",
    "sagemaker-role-vpc": "the same with --subnet, beside it",
    "sagemaker-trust": "who may take on sparkdl-bench-sagemaker",
    "scheduler-role": "the deletion of endpoints (sparkdl-bench-scheduler)",
    "scheduler-trust": "who may take on sparkdl-bench-scheduler",
}
#: What a policy does not do by itself.
_NOTES = {
    "emr-service-role": """\
The role needs AWS's AmazonEMRServicePolicy_v2 too, which makes machines in tagged networks alone:
subnet, its VPC and security groups of your own.
  aws ec2 create-tags --resources subnet-... vpc-... sg-... \\
      --tags Key=for-use-with-amazon-emr-managed-policies,Value=true
Machines get sparkdl-bench-job through an instance profile of that name:
  aws iam create-instance-profile --instance-profile-name sparkdl-bench-job
  aws iam add-role-to-instance-profile --instance-profile-name sparkdl-bench-job \\
      --role-name sparkdl-bench-job
A cluster of your own (--cluster) is used by those who have emr-user when it has the project's tag:
  aws emr add-tags --resource-id j-... --tags project=sparkdl-bench
""",
}


def iam(
    policy: Annotated[str | None, typer.Argument(help="Name of a policy; default: list.")] = None,
    bucket: Annotated[str | None, typer.Option(help="Bucket of code and record.")] = None,
    prefix: Annotated[str, typer.Option(help="Where in the bucket.")] = "sparkdl-bench",
    images: Annotated[
        str | None, typer.Option(help="BUCKET/PREFIX of your images; default: below --prefix.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="AWS account, twelve digits.")] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.")] = None,
    max_hours: Annotated[float, typer.Option(help="Longest training job allowed.")] = 2.0,
) -> None:
    """Print an IAM policy with your bucket, account and region in it."""
    from deploy.aws.iam import filled, names

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
    }
    with plain_errors():
        found = filled(policy, {key: value for key, value in given.items() if value is not None})
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.stderr.write(_NOTES.get(policy, ""))
