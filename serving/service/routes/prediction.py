"""Routes of the page and of programs that want more than probabilities."""

import base64
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from models.card import DISCLAIMER
from models.decision import decide
from serving.service.errors import RejectedImageError, RequestError
from serving.service.predictor import Answer, Predictor
from serving.service.responses import request_id_of
from serving.service.state import Service

#: Names of the form fields with images.
FIELDS = ("images", "files", "image", "file")
_FILE = {"type": "string", "format": "binary"}
_PREDICT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": _FILE}},
                    "required": ["images"],
                }
            }
        },
    }
}
_EXPLAIN_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"image": _FILE, "class": {"type": "string"}},
                    "required": ["image"],
                }
            }
        },
    }
}


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["prediction"])

    @routes.get("/model", summary="Model card")
    async def model() -> JSONResponse:
        return JSONResponse(card_document(service.predictor))

    @routes.post(
        "/predict", summary="Class, decision and probabilities", openapi_extra=_PREDICT_BODY
    )
    async def predict(request: Request) -> JSONResponse:
        predictor = service.predictor
        files, _ = await _form(service, request)
        service.check_count(len(files))
        answers = await service.classify(
            predictor, [content for _, content in files], describe=True
        )
        document, status = _document(service, predictor, [name for name, _ in files], answers)
        return JSONResponse({**document, "request_id": request_id_of(request.scope)}, status)

    @routes.post(
        "/explain", summary="Importance of each position for a class", openapi_extra=_EXPLAIN_BODY
    )
    async def explain(request: Request) -> JSONResponse:
        predictor = service.predictor
        if not predictor.explains:
            raise RequestError(501, "an endpoint cannot explain: serve the model itself")
        files, fields = await _form(service, request)
        if len(files) != 1:
            raise RequestError(400, "send one image to explain")
        index = _class_index(predictor, fields.get("class", ""))
        with service.admission.enter(1):
            try:
                heat = await predictor.explain(files[0][1], index)
            except RejectedImageError as error:
                service.metrics.rejected(error.kind)
                raise
        from serving.explanation import METHOD, heat_map_png

        picture = base64.b64encode(heat_map_png(heat)).decode()
        return JSONResponse({"heatmap": picture, "method": "occlusion", "description": METHOD})

    return routes


def card_document(predictor: Predictor) -> dict[str, Any]:
    """Return the model card with what is known about the served version."""
    card = predictor.card
    return {
        **card.model_dump(mode="json"),
        "name": predictor.source.name or card.name,
        "version": predictor.source.version,
        "engine": predictor.engine,
        "explains": predictor.explains,
        "disclaimer": DISCLAIMER,
    }


async def _form(
    service: Service, request: Request
) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """Return the files of a form as names and contents, and its other fields."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RequestError(415, "send a form (multipart/form-data) with the images")
    limit = service.settings.limits.images
    try:
        async with request.form(max_files=limit, max_fields=16) as form:
            files, fields = [], {}
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    fields[name] = value
                elif name in FIELDS:
                    files.append((value.filename or "", await value.read()))
                else:
                    raise RequestError(400, "name the field of the files 'images'")
            return files, fields
    except HTTPException as error:  # the parser's errors
        too_many = "Too many files" in str(error.detail)
        raise RequestError(
            413 if too_many else 400,
            f"more than {limit} images in a request" if too_many else "the form is not valid",
        ) from None


def _class_index(predictor: Predictor, name: str) -> int | None:
    if not name:
        return None
    if name not in predictor.card.class_names:
        raise RequestError(400, f"the classes are {', '.join(predictor.card.class_names)}")
    return predictor.card.class_names.index(name)


def _document(
    service: Service,
    predictor: Predictor,
    names: list[str],
    answers: list[Answer | RequestError],
) -> tuple[dict[str, Any], int]:
    """Return the answer, and its status: that of the first error if no image was classified."""
    images = [
        _failed(name, answer)
        if isinstance(answer, RequestError)
        else _classified(service, predictor, name, answer)
        for name, answer in zip(names, answers, strict=True)
    ]
    card = predictor.card
    document: dict[str, Any] = {
        "model": {"name": predictor.source.name or card.name, "version": predictor.source.version},
        "classes": list(card.class_names),
        "threshold": {
            "class": card.positive_class,
            "value": card.threshold.value,
            "rule": card.threshold.rule,
        },
        "images": images,
        "disclaimer": DISCLAIMER,
    }
    errors = [answer for answer in answers if isinstance(answer, RequestError)]
    if len(errors) < len(answers):
        return document, 200
    return document | {"error": errors[0].reason, "message": errors[0].reason}, errors[0].status


def _failed(name: str, error: RequestError) -> dict[str, Any]:
    return {"name": name, "error": error.reason, "status": error.status}


def _classified(
    service: Service, predictor: Predictor, name: str, answer: Answer
) -> dict[str, Any]:
    card, row = predictor.card, answer.probabilities
    decided = decide(row[None], card.positive, card.threshold.value)[0]
    decision = card.class_names[decided]
    service.metrics.decisions([decision])
    return {
        "name": name,
        "class": card.class_names[int(row.argmax())],
        "decision": decision,
        "probabilities": dict(zip(card.class_names, row.tolist(), strict=True)),
        "width": answer.width,
        "height": answer.height,
        "warnings": list(answer.warnings),
    }
