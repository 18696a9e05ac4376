"""HTTP API in front of the function: the API, its connection, its routes and its stage."""

from typing import Any

from deploy.aws.job import TAG
from deploy.aws.lambda_.options import FunctionOptions
from deploy.aws.lambda_.part import API, FUNCTION, INTEGRATION, URL, Entry, Part, delete, request
from deploy.aws.plan import Lost, look_up

#: Seconds for a request, the most that an HTTP API allows.
SECONDS = 30
_STAGE = "$default"
#: Routes. The limits apply to each one: opening the page takes more than 20 requests for its files,
#: which must not use up the limit of the predictions.
_PREDICT, _OTHERS = "POST /predict", "$default"
#: Limit of all other requests, as requests per second and at once. They cost no call of the
#: endpoint, except for one for the model card in five minutes.
_OTHERS_RATE, _OTHERS_BURST = 50.0, 200


def api_with_routes(options: FunctionOptions) -> tuple[Part, ...]:
    """Return the API and its routes, which answer nothing before their `stage` exists."""
    return (_api(options), _integration(), _route(_PREDICT), _route(_OTHERS))


def stage(options: FunctionOptions) -> Part:
    """Return the stage, which publishes the API with its limits."""
    parameters: dict[str, Any] = {
        "ApiId": API,
        "StageName": _STAGE,
        "AutoDeploy": True,
        "DefaultRouteSettings": _limit(_OTHERS_RATE, _OTHERS_BURST),
        "RouteSettings": {_PREDICT: _limit(options.rate, options.burst)},
    }
    return Part(
        title="stage",
        find=request("apigatewayv2", "GetStages", "find the stage of the API", ApiId=API),
        entry=_with("StageName", _STAGE),
        create=(
            request(
                "apigatewayv2",
                "CreateStage",
                "publish the API with its limits",
                **parameters,
                Tags={"project": TAG},
            ),
        ),
        update=(
            request("apigatewayv2", "UpdateStage", "update the limits of the API", **parameters),
        ),
    )


def _api(options: FunctionOptions) -> Part:
    def entry(answer: dict[str, Any], _: dict[str, str]) -> dict[str, Any] | None:
        """Return the first API with the name and the tag; names of APIs are not unique."""
        for api in answer.get("Items", []):
            if api["Name"] == options.name and api.get("Tags", {}).get("project") == TAG:
                return dict(api)
        return None

    search = request("apigatewayv2", "GetApis", "find the API", MaxResults="500")
    create = request(
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
    once = Lost(request=search, path="Items", name=options.name, keeps=create.keeps, by_hand="")
    return Part(
        title="API",
        find=search,
        entry=entry,
        keeps=create.keeps,
        create=(create.model_copy(update={"lost": once}),),
        delete=(delete("apigatewayv2", "DeleteApi", "HTTP API", ApiId=API),),
        may_repeat=True,
    )


def _integration() -> Part:
    parameters: dict[str, Any] = {
        "ApiId": API,
        "IntegrationType": "AWS_PROXY",
        "IntegrationMethod": "POST",
        "IntegrationUri": FUNCTION,
        "PayloadFormatVersion": "2.0",
        "TimeoutInMillis": 1000 * SECONDS,
    }
    return Part(
        title="integration",
        find=request(
            "apigatewayv2", "GetIntegrations", "find the connection of the API", ApiId=API
        ),
        entry=_with("IntegrationType", "AWS_PROXY"),
        keeps={INTEGRATION: "IntegrationId"},
        create=(
            request(
                "apigatewayv2",
                "CreateIntegration",
                "connect the API to the function",
                {INTEGRATION: "IntegrationId"},
                **parameters,
            ),
        ),
        update=(
            request(
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
        find=request("apigatewayv2", "GetRoutes", f"find the route {key}", ApiId=API),
        entry=_with("RouteKey", key),
        keeps={route: "RouteId"},
        create=(
            request(
                "apigatewayv2", "CreateRoute", f"create the route {key}",
                ApiId=API, RouteKey=key, Target=target,
            ),
        ),
        update=(
            request(
                "apigatewayv2", "UpdateRoute", f"update the route {key}",
                ApiId=API, RouteId=route, Target=target,
            ),
        ),
    )  # fmt: skip


def _limit(rate: float, burst: int) -> dict[str, float]:
    return {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": burst}


def _with(key: str, value: str) -> Entry:
    """Return the function that selects the entry with a value from a list ``Items``."""

    def entry(answer: dict[str, Any], _: dict[str, str]) -> dict[str, Any] | None:
        items = answer.get("Items", [])
        return next((dict(item) for item in items if look_up(item, key) == value), None)

    return entry
