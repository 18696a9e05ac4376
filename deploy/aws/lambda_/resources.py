"""Parts of a deployment: log group, role, function, HTTP API and the permission to call it."""

import json
from typing import Any

from deploy.aws import iam
from deploy.aws.job import TAG
from deploy.aws.lambda_ import http_api, names
from deploy.aws.lambda_.options import FunctionOptions
from deploy.aws.lambda_.package import HANDLER
from deploy.aws.lambda_.part import ACCOUNT, API, FUNCTION, ROLE, Part, delete, find, request
from deploy.aws.plan import Request, Until, look_up

#: Runtime of the function, which AWS supports until June 2029.
_RUNTIME = "python3.13"
#: Memory in MB; Lambda gives a share of a processor in proportion.
MEMORY_MB = 512
_FUNCTION_SECONDS = http_api.SECONDS - 1
_KEPT_LOG_DAYS = 30
_POLICY = "endpoint"


def preparation(options: FunctionOptions) -> tuple[Request, ...]:
    """Return the requests before anything is created."""
    check = "check that the endpoint exists"
    return (
        *identification(),
        request("sagemaker", "DescribeEndpoint", check, EndpointName=options.endpoint),
    )


def identification() -> tuple[Request, ...]:
    """Return the requests before a deletion."""
    return (request("sts", "GetCallerIdentity", "determine the account", {ACCOUNT: "Account"}),)


def parts(options: FunctionOptions) -> tuple[Part, ...]:
    """Return the parts in the order in which they are created."""
    role = () if options.role else (_role(options),)
    api = http_api.api_with_routes(options)
    # The stage publishes the API: before it, no request is answered.
    return (
        *(_log(options), *role, _function(options)),
        *(*api, _permission(options), http_api.stage(options)),
    )


def _log(options: FunctionOptions) -> Part:
    group = names.log_group(options.name)

    def entry(answer: dict[str, Any], _: dict[str, str]) -> dict[str, Any] | None:
        return answer if look_up(answer, "tags.project") == TAG else None

    retention = request(
        "logs",
        "PutRetentionPolicy",
        f"keep the log for {_KEPT_LOG_DAYS} days",
        logGroupName=group,
        retentionInDays=_KEPT_LOG_DAYS,
    )
    return Part(
        title="log group",
        find=find(
            "logs",
            "ListTagsForResource",
            "log group",
            resourceArn=f"arn:aws:logs:{options.region}:{ACCOUNT}:log-group:{group}",
        ),
        entry=entry,
        create=(
            request(
                "logs",
                "CreateLogGroup",
                "create the log group",
                logGroupName=group,
                tags={"project": TAG},
            ),
            retention,
        ),
        update=(retention,),
        delete=(delete("logs", "DeleteLogGroup", "log group", logGroupName=group),),
    )


def _role(options: FunctionOptions) -> Part:
    trust = iam.filled("lambda-trust", {})
    policy = iam.filled(
        "lambda-role",
        {
            "REGION": options.region,
            "ACCOUNT": ACCOUNT,
            "ENDPOINT": names.in_arn(options.endpoint),
            "FUNCTION": options.name,
        },
    )
    put = request(
        "iam",
        "PutRolePolicy",
        "allow it to call this endpoint and to write its log, and nothing else",
        RoleName=options.name,
        PolicyName=_POLICY,
        PolicyDocument=json.dumps(policy),
    )
    return Part(
        title="role",
        find=find("iam", "GetRole", "role", RoleName=options.name),
        keeps={ROLE: "Role.Arn"},
        create=(
            request(
                "iam",
                "CreateRole",
                "create the role of the function",
                {ROLE: "Role.Arn"},
                RoleName=options.name,
                Description=f"Calls the SageMaker endpoint {options.endpoint}",
                AssumeRolePolicyDocument=json.dumps(trust),
                Tags=[{"Key": "project", "Value": TAG}],
            ),
            put,
        ),
        update=(put,),
        delete=(
            delete(
                "iam", "DeleteRolePolicy", "role's policy",
                RoleName=options.name, PolicyName=_POLICY,
            ),
            delete("iam", "DeleteRole", "role", RoleName=options.name),
        ),
    )  # fmt: skip


def _function(options: FunctionOptions) -> Part:
    configuration: dict[str, Any] = {
        "FunctionName": options.name,
        "Runtime": _RUNTIME,
        "Handler": HANDLER,
        "Role": options.role or ROLE,
        "Timeout": _FUNCTION_SECONDS,
        "MemorySize": MEMORY_MB,
        "Description": f"Page and predictions of the SageMaker endpoint {options.endpoint}",
    }
    name: dict[str, Any] = {"FunctionName": options.name}
    updated = request("lambda", "GetFunctionConfiguration", "update of the function", **name)
    updated = updated.model_copy(
        update={
            "until": Until(
                path="LastUpdateStatus",
                succeeded=("Successful",),
                failed=("Failed",),
                reasons=("LastUpdateStatusReason",),
            )
        }
    )
    active = updated.model_copy(
        update={
            "purpose": "start of the function",
            "until": Until(
                path="State",
                succeeded=("Active",),
                failed=("Failed",),
                reasons=("StateReason",),
            ),
        }
    )
    return Part(
        title="function",
        find=find("lambda", "GetFunction", "function", **name),
        keeps={FUNCTION: "Configuration.FunctionArn"},
        create=(
            request(
                "lambda",
                "CreateFunction",
                "create the function",
                {FUNCTION: "FunctionArn"},
                **configuration,
                Code={"ZipFile": options.package},
                Tags={"project": TAG},
            ),
            active,
        ),
        update=(
            request(
                "lambda",
                "UpdateFunctionCode",
                "replace the code of the function",
                **name,
                ZipFile=options.package,
            ),
            updated,
            request(
                "lambda",
                "UpdateFunctionConfiguration",
                "update the settings of the function",
                **configuration,
            ),
            updated,
        ),
        delete=(delete("lambda", "DeleteFunction", "function", **name),),
    )


def _permission(options: FunctionOptions) -> Part:
    # With the id of the API: a new API needs a permission of its own.
    statement = f"api-{API}"

    def entry(answer: dict[str, Any], values: dict[str, str]) -> dict[str, Any] | None:
        sought = f"api-{values[API]}"
        statements = json.loads(answer["Policy"])["Statement"]
        return next((dict(one) for one in statements if one.get("Sid") == sought), None)

    return Part(
        title="permission",
        find=find("lambda", "GetPolicy", "permission of the API", FunctionName=options.name),
        entry=entry,
        create=(
            request(
                "lambda",
                "AddPermission",
                "allow this API to call the function",
                FunctionName=options.name,
                StatementId=statement,
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=f"arn:aws:execute-api:{options.region}:{ACCOUNT}:{API}/*/*",
            ),
        ),
    )
