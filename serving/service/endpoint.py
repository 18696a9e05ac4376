"""Predictions of a SageMaker endpoint, with the page and the routes of this service."""

import asyncio
import io
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError

from models.card import ModelCard
from serving.classifier import classifier_folder
from serving.errors import ServingError
from serving.service import likeness
from serving.service.decoding import decode_array, decode_content, read_header
from serving.service.errors import RequestError, UnavailableError
from serving.service.formats import CARD, IMAGES, JSON
from serving.service.logs import log
from serving.service.predictor import Answer, ImageInput
from serving.service.settings import Limits, Settings, Source
from serving.service.tasks import Task, Threads

#: Requests to the endpoint at the same time.
_CONNECTIONS = 32
_CONNECT_SECONDS = 5
_ATTEMPTS = 3
#: Seconds between two attempts to reach an endpoint at the start, and their number.
_PAUSE, _STARTS = 5.0, 120
#: Error codes with which a later request may succeed.
_TRANSIENT = {
    "InternalDependencyException", "InternalFailure", "ModelNotReadyException",
    "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException",
}  # fmt: skip


class EndpointPredictor:
    """Endpoint that answers ``application/x-image`` with a JSON array of probabilities.

    Parameters
    ----------
    client
        boto3's client of ``sagemaker-runtime``.
    name
        Name of the endpoint.
    card
        Card of the model.
    threads
        Threads of the service, for decoding.
    limits
        Limits of images.
    """

    engine = "endpoint"
    explains = False

    def __init__(
        self, client: Any, name: str, card: ModelCard, threads: Threads, limits: Limits
    ) -> None:
        self.card = card
        self.source = Source(name=card.name)
        self._client = client
        self._name = name
        self._threads = threads
        self._limits = limits
        self._requests = ThreadPoolExecutor(_CONNECTIONS, "endpoint")

    @classmethod
    async def connect(cls, settings: Settings, threads: Threads) -> "EndpointPredictor":
        """Return the endpoint of the settings, once it answers.

        Raises
        ------
        ServingError
            If the endpoint does not exist or cannot be used.
        """
        name = settings.endpoint or ""
        client = await asyncio.to_thread(_client, settings)
        for _ in range(_STARTS):
            try:
                card = await asyncio.to_thread(_card, client, name, settings.source)
            except UnavailableError as error:
                log("endpoint not ready", logging.WARNING, reason=error.reason)
                await asyncio.sleep(_PAUSE)
            else:
                return cls(client, name, card, threads, settings.limits)
        raise ServingError(f"the endpoint {name} did not answer within {_STARTS * _PAUSE:.0f} s")

    async def classify(self, image: ImageInput, *, describe: bool) -> Answer:
        """Return the result for one image; see `serving.service.predictor.Predictor`.

        The image is decoded here too: a file that is not an image costs no request.
        """
        task: Task[Answer] = Task()
        self._threads.quick.submit(task.run, self._check, task, image)
        checked = await task.result(self._limits)
        body = image if isinstance(image, bytes) else _png(checked.probabilities)
        loop = asyncio.get_running_loop()
        row = await loop.run_in_executor(self._requests, self._invoke, body)
        warnings = checked.warnings if describe else ()
        return Answer(row, checked.width, checked.height, warnings)

    async def explain(self, image: ImageInput, class_index: int | None) -> np.ndarray:
        """Refuse, because an endpoint computes nothing but probabilities."""
        raise RequestError(501, "an endpoint cannot explain: serve the model itself")

    def close(self) -> None:
        """End the threads that wait for the endpoint."""
        self._requests.shutdown(wait=False, cancel_futures=True)

    def _check(self, task: Task[Answer], image: ImageInput) -> None:
        """Set the properties of an image, with its pixels in place of probabilities."""
        if not task.start():
            return
        width = height = None
        if isinstance(image, bytes):
            header = task.decode(read_header, image, self._limits.pixels)
            width, height = header.width, header.height
            pixels = task.decode(decode_content, image, self.card.image)
        else:
            pixels = task.decode(decode_array, image, self.card.image)
        found = likeness.warnings(self.card, likeness.properties(pixels, width, height))
        task.future.set_result(Answer(pixels, width, height, found))

    def _invoke(self, body: bytes) -> np.ndarray:
        answer = _request(self._client, self._name, IMAGES[0], body)
        values = answer.get("predictions", [None])[0] if isinstance(answer, dict) else answer
        try:
            row = np.asarray(values, np.float32)
        except (TypeError, ValueError):
            row = np.empty(0, np.float32)
        if row.shape != (len(self.card.class_names),):
            raise RequestError(
                502, f"the endpoint did not answer with {len(self.card.class_names)} probabilities"
            )
        return row


def _client(settings: Settings) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        max_pool_connections=_CONNECTIONS,
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=settings.limits.request_seconds,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    try:
        session = boto3.Session(region_name=settings.region)
        return session.client("sagemaker-runtime", config=config)
    except BotoCoreError as error:
        hint = ": use --region, for example eu-central-1" if session.region_name is None else ""
        raise ServingError(f"{' '.join(str(error).split())}{hint}") from error


def _card(client: Any, name: str, source: Source) -> ModelCard:
    """Return the card of the model: that of ``source`` or, without one, the endpoint's own."""
    question = json.dumps({"instances": [], CARD: True}).encode()
    if source.folder is not None:
        return ModelCard.read(classifier_folder(source.folder))
    try:
        answer = _request(client, name, JSON, question)
        return ModelCard.model_validate(
            {key: answer[CARD][key] for key in ModelCard.model_fields if key in answer[CARD]}
        )
    except UnavailableError:
        raise
    except RequestError as error:
        raise ServingError(error.reason) from error
    except (KeyError, TypeError, ValidationError):
        raise ServingError(
            f"the endpoint {name} has no model card: name its model too, as in 'sparkdl-bench "
            f"serve MODEL --endpoint {name}'"
        ) from None


def _request(client: Any, name: str, kind: str, body: bytes) -> Any:
    """Return the JSON answer of the endpoint.

    Raises
    ------
    UnavailableError
        If a later request may succeed.
    RequestError
        If the endpoint or AWS refuses the request (502).
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,
        HTTPClientError,
    )

    try:
        answer = client.invoke_endpoint(EndpointName=name, ContentType=kind, Accept=JSON, Body=body)
        return json.loads(answer["Body"].read())
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        reason = f"the endpoint {name} answered: {_line(error)}"
        if code in _TRANSIENT or status in (429, 503):
            raise UnavailableError(reason, retry_seconds=5) from error
        raise RequestError(502, reason) from error
    except (ConnectionError, HTTPClientError) as error:  # no connection, or no answer in time
        raise UnavailableError(f"the endpoint {name} is not reached: {_line(error)}", 5) from error
    except BotoCoreError as error:  # for example, no credentials
        raise RequestError(502, f"the endpoint {name} cannot be called: {_line(error)}") from error
    except ValueError as error:
        raise RequestError(502, f"the endpoint {name} did not answer in JSON") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()
