"""Media types of ``/invocations``: from a body to images, and from probabilities to a body."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from serving.service.errors import RequestError
from serving.service.predictor import ImageInput

#: Media types of a body that is one image file. Its content decides the format.
IMAGES = (
    "application/x-image", "application/octet-stream", "image/bmp", "image/gif", "image/jpeg",
    "image/jpg", "image/png", "image/tiff", "image/webp", "image/x-ms-bmp", "application/dicom",
)  # fmt: skip
JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
_JSON_LINES = (JSON_LINES, "application/x-jsonlines", "application/jsonl", "application/x-ndjson")
#: Keys under which an object of a JSON body has one image.
_IMAGE_KEYS = ("b64", "image", "content")
#: Key that asks for the model card in the answer.
CARD = "card"

#: Form of a JSON answer: one array, one array for each image, or the latter as ``predictions``.
Form = Literal["one", "many", "predictions"]


@dataclass(frozen=True)
class Payload:
    """Images of a request."""

    images: list[ImageInput]
    form: Form
    #: True if the answer must include the model card.
    with_card: bool = False


def media_type(header: str) -> str:
    """Return the media type in a header, without its parameters and in lower case."""
    return header.partition(";")[0].strip().lower()


def parse(kind: str, body: bytes) -> Payload:
    """Return the images in a body.

    Parameters
    ----------
    kind
        Media type of the body, as `media_type` returns it.
    body
        Body.

    Raises
    ------
    RequestError
        If the media type is not supported (415) or the body does not have its form (400).
    """
    if kind in IMAGES:
        if not body:
            raise RequestError(400, "the body is empty: send the content of an image file")
        return Payload([body], "one")
    if kind == JSON:
        return _from_json(_loads(body))
    if kind in _JSON_LINES:
        lines = [line for line in body.splitlines() if line.strip()]
        return Payload([_image(_loads(line)) for line in lines], "many")
    raise RequestError(
        415,
        f"the content type '{kind[:60]}' is not supported: use application/x-image for the content "
        "of an image file, or application/json",
    )


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise RequestError(400, "the body is not valid JSON") from None


def _from_json(document: Any) -> Payload:
    if isinstance(document, dict) and not set(document) & set(_IMAGE_KEYS):
        for key in ("instances", "inputs"):
            if key in document:
                value = document[key]
                many = value if key == "instances" else _separated(value)
                if not isinstance(many, list):
                    raise RequestError(400, f"'{key}' must be a list of images")
                images = [_image(one) for one in many]
                return Payload(images, "predictions", document.get(CARD) is True)
        raise RequestError(
            400, "the JSON body has no images: name them 'instances', 'inputs' or 'b64'"
        )
    if isinstance(document, list) and not _is_one(document):
        return Payload([_image(one) for one in document], "many")
    return Payload([_image(document)], "one")


def _separated(value: Any) -> Any:
    return value if isinstance(value, list) and not _is_one(value) else [value]


def _is_one(values: list[Any]) -> bool:
    """Return whether a list is one image: rows of numbers, or rows of pixels of 1, 3 or 4."""
    depth, inner = 0, values
    while isinstance(inner, list) and inner:
        depth, last, inner = depth + 1, len(inner), inner[0]
    if not isinstance(inner, int | float):
        return False
    return depth == 2 or (depth == 3 and last in (1, 3, 4))


def _image(value: Any) -> ImageInput:
    if isinstance(value, dict):
        found = [value[key] for key in _IMAGE_KEYS if key in value]
        if len(found) != 1 or isinstance(found[0], dict):
            raise RequestError(400, "an object must have an image under one key, 'b64'")
        return _image(found[0])
    if isinstance(value, str):
        return _from_base64(value)
    if isinstance(value, list):
        try:
            return np.array(value)
        except (ValueError, OverflowError):
            raise RequestError(400, "the rows of an array differ in length") from None
    raise RequestError(400, "an image must be base64 text or an array of numbers")


def _from_base64(text: str) -> bytes:
    # A text is never taken for a path: clients must not read files of the server.
    body = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(400, "a text is not valid base64") from None


def accepted(header: str) -> str:
    """Return the media type of the answer for a header ``Accept``.

    Raises
    ------
    RequestError
        If no supported type is acceptable (406).
    """
    for kind in _by_preference(header):
        if kind in ("*/*", "application/*", JSON):
            return JSON
        if kind in (CSV, "text/*"):
            return CSV
        if kind in _JSON_LINES:
            return kind
    raise RequestError(
        406, "the answer is available as application/json, application/jsonlines and text/csv"
    )


def _by_preference(header: str) -> list[str]:
    weighted = []
    for part in (header or "*/*").split(","):
        name, *parameters = part.split(";")
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if quality > 0:
            weighted.append((-quality, name.strip().lower()))
    return [name for _, name in sorted(weighted, key=lambda pair: pair[0])]


def render(
    rows: Sequence[np.ndarray], form: Form, kind: str, card: dict[str, Any] | None = None
) -> bytes:
    """Return the body of an answer.

    Parameters
    ----------
    rows
        Probabilities of each image, float32 of shape (classes,).
    form
        Form of a JSON answer.
    kind
        Media type from `accepted`.
    card
        Model card to add to a JSON answer of the form ``predictions``.
    """
    values = [row.tolist() for row in rows]
    if kind == CSV:
        return "".join(",".join(map(repr, row)) + "\n" for row in values).encode()
    if kind in _JSON_LINES:
        return "".join(json.dumps(row) + "\n" for row in values).encode()
    document: Any = values[0] if form == "one" else values
    if form == "predictions":
        document = {"predictions": values} | ({CARD: card} if card else {})
    return json.dumps(document).encode()
