"""Requests to the SageMaker endpoint."""

import json
import math
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from deploy.aws.lambda_.function.problem import ProblemError

#: Media types of a request with one image, and of one that asks for the model card.
_IMAGE, _JSON = "application/x-image", "application/json"
_CARD = "card"
#: Keys of a model card that the function requires.
_CARD_KEYS = ("name", "class_names", "positive_class", "threshold")
#: Requests to the endpoint at the same time: a serverless endpoint refuses many.
_CONNECTIONS = 4
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 3, 25, 3
_RETRY_SECONDS = 5
#: Error codes with which a later request may succeed.
_TRANSIENT = {
    "InternalDependencyException", "InternalFailure", "ModelNotReadyException",
    "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException",
}  # fmt: skip
#: Statuses with which the model refuses an image.
_REFUSED = (400, 413, 415, 422)
_LONGEST_REASON = 300


class Endpoint:
    """SageMaker endpoint that answers ``application/x-image`` with an array of probabilities.

    Parameters
    ----------
    client
        boto3's client of ``sagemaker-runtime``.
    name
        Name of the endpoint.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    @classmethod
    def connect(cls, name: str) -> "Endpoint":
        """Return the endpoint in the region of the function."""
        import boto3
        from botocore.config import Config

        config = Config(
            max_pool_connections=_CONNECTIONS,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        return cls(boto3.client("sagemaker-runtime", config=config), name)

    def card(self) -> dict[str, Any]:
        """Return the card of the endpoint's model.

        Raises
        ------
        ProblemError
            If the endpoint does not answer (503), or has no card (502).
        """
        question = json.dumps({"instances": [], _CARD: True}).encode()
        without = ProblemError(502, "the endpoint has no model card: name its model with --model")
        try:
            answer = self._request(_JSON, question)
        except ProblemError as error:
            if error.status == 503:
                raise
            without.details = error.details or error.reason
            raise without from error
        card = answer.get(_CARD) if isinstance(answer, dict) else None
        if not isinstance(card, dict) or any(key not in card for key in _CARD_KEYS):
            raise without
        return card

    def classify(
        self, images: Sequence[bytes], classes: int, seconds: float
    ) -> list[list[float] | ProblemError]:
        """Return the probabilities of each image, or the reason why there are none.

        Parameters
        ----------
        images
            Contents of image files.
        classes
            Number of classes.
        seconds
            Time for all images.
        """
        pool = ThreadPoolExecutor(min(_CONNECTIONS, len(images)))
        futures = [pool.submit(self._probabilities, image, classes) for image in images]
        wait(futures, seconds)
        pool.shutdown(wait=False, cancel_futures=True)
        late = ProblemError(
            503, "the endpoint did not answer in time: send fewer images", _RETRY_SECONDS
        )
        return [
            future.result() if future.done() and not future.cancelled() else late
            for future in futures
        ]

    def _probabilities(self, image: bytes, classes: int) -> list[float] | ProblemError:
        if not image:
            return ProblemError(415, "the file is empty")
        try:
            answer = self._request(_IMAGE, image)
        except ProblemError as error:
            return error
        values = answer.get("predictions", [None])[:1] if isinstance(answer, dict) else [answer]
        row = values[0] if values else None
        if not isinstance(row, list) or len(row) != classes or not all(map(_is_number, row)):
            return ProblemError(502, f"the endpoint did not answer with {classes} probabilities")
        return [as_float32(value) for value in row]

    def _request(self, kind: str, body: bytes) -> Any:
        """Return the JSON answer of the endpoint."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,
            HTTPClientError,
        )

        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._name, ContentType=kind, Accept=_JSON, Body=body
            )
            return json.loads(answer["Body"].read())
        except ClientError as error:
            raise _refused(error.response, str(error)) from error
        except (ConnectionError, HTTPClientError) as error:  # no connection, or no answer in time
            raise _unavailable("the endpoint is not reached", str(error)) from error
        except BotoCoreError as error:
            raise ProblemError(502, "the endpoint cannot be called", details=str(error)) from error
        except ValueError as error:
            raise ProblemError(502, "the endpoint did not answer in JSON") from error


def as_float32(value: float) -> float:
    """Return ``value`` rounded to float32, in which the model computes."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1


def _refused(response: Any, message: str) -> ProblemError:
    """Return the error for an answer of AWS, whose message stays in the log."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ModelError":
        original = response.get("OriginalStatusCode", 0)
        if original in _REFUSED:
            return ProblemError(original, _reason(response.get("OriginalMessage", "")))
        if original in (429, 503):
            return _unavailable("the endpoint is busy", message)
        return ProblemError(
            502, f"the model of the endpoint failed with the status {original}", details=message
        )
    if code in _TRANSIENT or status in (429, 503):
        return _unavailable(f"the endpoint is busy or starts ({code})", message)
    if status == 413:
        return ProblemError(413, "the image is larger than the endpoint accepts", details=message)
    return ProblemError(502, f"the endpoint cannot be called ({code})", details=message)


def _unavailable(reason: str, details: str) -> ProblemError:
    return ProblemError(503, reason, _RETRY_SECONDS, details)


def _reason(body: str) -> str:
    """Return the reason in an answer of the project's service, in one line."""
    try:
        reason = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        reason = None
    if not isinstance(reason, str):
        return "the endpoint does not accept the image"
    return " ".join(reason.split())[:_LONGEST_REASON]
