"""What a deployment consists of, as the requests that find, create, update and delete each part."""

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deploy.aws import iam
from deploy.aws.job import TAG
from deploy.aws.lambda_ import names
from deploy.aws.lambda_.package import HANDLER
from deploy.aws.plan import Lost, Request, Until, look_up

#: Runtime of the function, which AWS supports until June 2029.
_RUNTIME = "python3.13"
#: Memory in MB; Lambda gives a share of a processor in proportion.
MEMORY_MB = 512
#: Seconds for a request, of which an HTTP API allows at most 30.
_API_SECONDS = 30
_FUNCTION_SECONDS = _API_SECONDS - 1
_KEPT_LOG_DAYS = 30
_POLICY = "endpoint"
_STAGE = "$default"
#: Routes. The limits apply to each one: opening the page takes more than 20 requests for its files,
#: which must not use up the limit of the predictions.
_PREDICT, _OTHERS = "POST /predict", "$default"
#: Limit of all other requests, as requests per second and at once. They cost no call of the
#: endpoint, except for one for the model card in five minutes.
_OTHERS_RATE, _OTHERS_BURST = 50.0, 200
#: Placeholders for values of responses.
ACCOUNT, ROLE, FUNCTION, API, URL, INTEGRATION = (
    "<account>", "<role>", "<function>", "<api>", "<url>", "<integration>",
)  # fmt: skip

#: Returns the entry of a part in the response to its ``find``, or None.
Entry = Callable[[dict[str, Any], dict[str, str]], dict[str, Any] | None]


class FunctionOptions(BaseModel):
    """Options of a deployment."""

    model_config = ConfigDict(frozen=True)

    #: Name of the function, its role, its log group and its API.
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    endpoint: str = Field(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,62}$")
    region: str
    #: ARN of the role of the function; None: it is a part of the deployment.
    role: str | None = None
    #: Largest number of predictions per second, and at once.
    rate: float = Field(default=10.0, gt=0, le=10_000)
    burst: int = Field(default=20, ge=1, le=5_000)
    #: ZIP archive of the function.
    package: bytes = b""

    @field_validator("name")
    @classmethod
    def _prefixed(cls, name: str) -> str:
        return names.function_name(name)


class Part(BaseModel):
    """One resource."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    find: Request
    #: Selects the resource in the response; None if it is found with any response.
    entry: Entry | None = None
    #: Placeholder -> dotted path in the entry.
    keeps: dict[str, str] = {}
    create: tuple[Request, ...]
    #: Requests if the resource exists.
    update: tuple[Request, ...] = ()
    #: Requests that delete it; empty if it is deleted with another part.
    delete: tuple[Request, ...] = ()
    #: True if several resources can have the same name.
    may_repeat: bool = False


def preparation(options: FunctionOptions) -> tuple[Request, ...]:
    """Return the requests before anything is created."""
    check = "check that the endpoint exists"
    return (
        *identification(),
        _request("sagemaker", "DescribeEndpoint", check, EndpointName=options.endpoint),
    )


def identification() -> tuple[Request, ...]:
    """Return the requests before a deletion."""
    return (_request("sts", "GetCallerIdentity", "determine the account", {ACCOUNT: "Account"}),)


def parts(options: FunctionOptions) -> tuple[Part, ...]:
    """Return the parts in the order in which they are created."""
    role = () if options.role else (_role(options),)
    api = (_api(options), _integration(), _route(_PREDICT), _route(_OTHERS))
    # The stage publishes the API: before it, no request is answered.
    return (_log(options), *role, _function(options), *api, _permission(options), _stage(options))


def _log(options: FunctionOptions) -> Part:
    group = names.log_group(options.name)

    def entry(answer: dict[str, Any], _: dict[str, str]) -> dict[str, Any] | None:
        return answer if look_up(answer, "tags.project") == TAG else None

    retention = _request(
        "logs",
        "PutRetentionPolicy",
        f"keep the log for {_KEPT_LOG_DAYS} days",
        logGroupName=group,
        retentionInDays=_KEPT_LOG_DAYS,
    )
    return Part(
        title="log group",
        find=_find(
            "logs",
            "ListTagsForResource",
            "log group",
            resourceArn=f"arn:aws:logs:{options.region}:{ACCOUNT}:log-group:{group}",
        ),
        entry=entry,
        create=(
            _request(
                "logs",
                "CreateLogGroup",
                "create the log group",
                logGroupName=group,
                tags={"project": TAG},
            ),
            retention,
        ),
        update=(retention,),
        delete=(_delete("logs", "DeleteLogGroup", "log group", logGroupName=group),),
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
    put = _request(
        "iam",
        "PutRolePolicy",
        "allow it to call this endpoint and to write its log, and nothing else",
        RoleName=options.name,
        PolicyName=_POLICY,
        PolicyDocument=json.dumps(policy),
    )
    return Part(
        title="role",
        find=_find("iam", "GetRole", "role", RoleName=options.name),
        keeps={ROLE: "Role.Arn"},
        create=(
            _request(
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
            _delete(
                "iam", "DeleteRolePolicy", "role's policy",
                RoleName=options.name, PolicyName=_POLICY,
            ),
            _delete("iam", "DeleteRole", "role", RoleName=options.name),
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
    updated = _request("lambda", "GetFunctionConfiguration", "update of the function", **name)
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
        find=_find("lambda", "GetFunction", "function", **name),
        keeps={FUNCTION: "Configuration.FunctionArn"},
        create=(
            _request(
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
            _request(
                "lambda",
                "UpdateFunctionCode",
                "replace the code of the function",
                **name,
                ZipFile=options.package,
            ),
            updated,
            _request(
                "lambda",
                "UpdateFunctionConfiguration",
                "update the settings of the function",
                **configuration,
            ),
            updated,
        ),
        delete=(_delete("lambda", "DeleteFunction", "function", **name),),
    )


def _api(options: FunctionOptions) -> Part:
    def entry(answer: dict[str, Any], _: dict[str, str]) -> dict[str, Any] | None:
        """Return the first API with the name and the tag; names of APIs are not unique."""
        for api in answer.get("Items", []):
            if api["Name"] == options.name and api.get("Tags", {}).get("project") == TAG:
                return dict(api)
        return None

    find = _request("apigatewayv2", "GetApis", "find the API", MaxResults="500")
    create = _request(
        "apigatewayv2",
        "CreateApi",
        "create the HTTP API",
        {API: "ApiId", URL: "ApiEndpoint"},
        Name=options.name,
        ProtocolType="HTTP",
        Description=f"Page and predictions of the SageMaker endpoint {options.endpoint}",
        Tags={"project": TAG},
    )
    # Sent once: a repetition after a lost response would create a second API with this name.
    once = Lost(request=find, path="Items", name=options.name, keeps=create.keeps, by_hand="")
    return Part(
        title="API",
        find=find,
        entry=entry,
        keeps=create.keeps,
        create=(create.model_copy(update={"lost": once}),),
        delete=(_delete("apigatewayv2", "DeleteApi", "HTTP API", ApiId=API),),
        may_repeat=True,
    )


def _integration() -> Part:
    parameters: dict[str, Any] = {
        "ApiId": API,
        "IntegrationType": "AWS_PROXY",
        "IntegrationMethod": "POST",
        "IntegrationUri": FUNCTION,
        "PayloadFormatVersion": "2.0",
        "TimeoutInMillis": 1000 * _API_SECONDS,
    }
    return Part(
        title="integration",
        find=_request(
            "apigatewayv2", "GetIntegrations", "find the connection of the API", ApiId=API
        ),
        entry=_with("IntegrationType", "AWS_PROXY"),
        keeps={INTEGRATION: "IntegrationId"},
        create=(
            _request(
                "apigatewayv2",
                "CreateIntegration",
                "connect the API to the function",
                {INTEGRATION: "IntegrationId"},
                **parameters,
            ),
        ),
        update=(
            _request(
                "apigatewayv2",
                "UpdateIntegration",
                "connect the API to the function",
                IntegrationId=INTEGRATION,
                **parameters,
            ),
        ),
    )


def _route(key: str) -> Part:
    route = "<route>"
    target = f"integrations/{INTEGRATION}"
    return Part(
        title=f"route {key}",
        find=_request("apigatewayv2", "GetRoutes", f"find the route {key}", ApiId=API),
        entry=_with("RouteKey", key),
        keeps={route: "RouteId"},
        create=(
            _request(
                "apigatewayv2", "CreateRoute", f"create the route {key}",
                ApiId=API, RouteKey=key, Target=target,
            ),
        ),
        update=(
            _request(
                "apigatewayv2", "UpdateRoute", f"update the route {key}",
                ApiId=API, RouteId=route, Target=target,
            ),
        ),
    )  # fmt: skip


def _permission(options: FunctionOptions) -> Part:
    # With the id of the API: a new API needs a permission of its own.
    statement = f"api-{API}"

    def entry(answer: dict[str, Any], values: dict[str, str]) -> dict[str, Any] | None:
        sought = f"api-{values[API]}"
        statements = json.loads(answer["Policy"])["Statement"]
        return next((dict(one) for one in statements if one.get("Sid") == sought), None)

    return Part(
        title="permission",
        find=_find("lambda", "GetPolicy", "permission of the API", FunctionName=options.name),
        entry=entry,
        create=(
            _request(
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


def _stage(options: FunctionOptions) -> Part:
    parameters: dict[str, Any] = {
        "ApiId": API,
        "StageName": _STAGE,
        "AutoDeploy": True,
        "DefaultRouteSettings": _limit(_OTHERS_RATE, _OTHERS_BURST),
        "RouteSettings": {_PREDICT: _limit(options.rate, options.burst)},
    }
    return Part(
        title="stage",
        find=_request("apigatewayv2", "GetStages", "find the stage of the API", ApiId=API),
        entry=_with("StageName", _STAGE),
        create=(
            _request(
                "apigatewayv2",
                "CreateStage",
                "publish the API with its limits",
                **parameters,
                Tags={"project": TAG},
            ),
        ),
        update=(
            _request("apigatewayv2", "UpdateStage", "update the limits of the API", **parameters),
        ),
    )


def _limit(rate: float, burst: int) -> dict[str, float]:
    return {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst}


def _with(key: str, value: str) -> Entry:
    """Return the function that selects the entry with a value from a list ``Items``."""

    def entry(answer: dict[str, Any], _: dict[str, str]) -> dict[str, Any] | None:
        items = answer.get("Items", [])
        return next((dict(item) for item in items if look_up(item, key) == value), None)

    return entry


def _request(
    service: str,
    operation: str,
    purpose: str,
    keeps: dict[str, str] | None = None,
    **parameters: Any,
) -> Request:
    return Request(
        service=service,
        operation=operation,
        purpose=purpose,
        keeps=keeps or {},
        parameters=parameters,
    )


def _find(service: str, operation: str, what: str, **parameters: Any) -> Request:
    request = _request(service, operation, f"find the {what}", **parameters)
    return request.model_copy(update={"optional": True})


def _delete(service: str, operation: str, what: str, **parameters: Any) -> Request:
    request = _request(service, operation, f"delete the {what}", **parameters)
    return request.model_copy(update={"optional": True})
