"""SageMaker's container contract, and the same for clients of its runtime."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.decision import decide
from serving.service import formats
from serving.service.errors import RequestError
from serving.service.formats import Payload
from serving.service.predictor import Predictor
from serving.service.routes.prediction import card_document
from serving.service.state import Service

#: Size in bytes from which a body is parsed in a thread.
_LONG_JSON = 2**14
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(formats.IMAGES, _BINARY),
            formats.JSON: {
                "schema": {},
                "examples": {
                    "base64": {"value": {"instances": ["<base64 of an image file>"]}},
                    "one": {"value": {"b64": "<base64 of an image file>"}},
                },
            },
            formats.JSON_LINES: {"schema": {"type": "string"}},
        },
    },
    "responses": {
        "200": {
            "description": "Probabilities in the order of the classes",
            "content": {
                formats.JSON: {"schema": {"type": "array", "items": {"type": "number"}}},
                formats.JSON_LINES: {"schema": {"type": "string"}},
                formats.CSV: {"schema": {"type": "string"}},
            },
        }
    },
}


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["SageMaker"])

    @routes.post("/invocations", summary="Class probabilities", openapi_extra=_BODY)
    async def invocations(request: Request) -> Response:
        return await _invoke(service, request)

    @routes.post(
        "/endpoints/{name}/invocations",
        summary="Class probabilities, for clients of SageMaker's runtime",
        openapi_extra=_BODY,
    )
    async def endpoint_invocations(name: str, request: Request) -> Response:
        del name  # This service is every endpoint.
        response = await _invoke(service, request)
        response.headers["x-amzn-invoked-production-variant"] = "AllTraffic"
        return response

    return routes


async def _invoke(service: Service, request: Request) -> Response:
    predictor = service.predictor
    kind = formats.accepted(request.headers.get("accept", ""))
    body = await request.body()
    payload = await _parsed(request.headers.get("content-type", ""), body)
    if not payload.with_card or payload.images:
        service.check_count(len(payload.images))
    answers = await service.classify(predictor, payload.images)
    rows = []
    for number, answer in enumerate(answers, 1):
        if isinstance(answer, RequestError):
            if len(answers) > 1:
                answer.reason = f"image {number} of {len(answers)}: {answer.reason}"
            raise answer
        rows.append(answer.probabilities)
    _count(service, predictor, rows)
    card = card_document(predictor) if payload.with_card else None
    return Response(formats.render(rows, payload.form, kind, card), media_type=kind)


async def _parsed(content_type: str, body: bytes) -> Payload:
    kind = formats.media_type(content_type)
    if kind in formats.IMAGES or len(body) < _LONG_JSON:
        return formats.parse(kind, body)
    return await asyncio.to_thread(formats.parse, kind, body)


def _count(service: Service, predictor: Predictor, rows: list[Any]) -> None:
    if rows:
        import numpy as np

        card = predictor.card
        decided = decide(np.stack(rows), card.positive, card.threshold.value)
        service.metrics.decisions(card.class_names[index] for index in decided)
