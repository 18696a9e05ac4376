"""A service with the interface that the page uses, whose answers follow from the images.

The probability of the class ``all`` is the mean red of an image, from 0 to 1.
"""

import asyncio
import base64
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import UploadFile

import serving
from data.config import ImageConfig
from data.images import UnreadableImage, decode
from models.card import DataOrigin, ModelCard, Part, Range, Score, Threshold
from serving.explanation import METHOD, heat_map_png

PAGE = Path(serving.__file__).parent / "page"
#: The policy of the service: no code and no style within the document, nothing of other hosts.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
CARD = ModelCard(
    name="c-nmc-elephas",
    class_names=("all", "hem"),
    positive_class="all",
    image=ImageConfig(height=24, width=24),
    threshold=Threshold(
        value=0.37,
        rule="sensitivity=0.95",
        sensitivity=Score(value=0.951, low=0.91, high=0.98),
        specificity=Score(value=0.884, low=0.81, high=0.94),
    ),
    data=DataOrigin(
        name="c-nmc",
        fingerprint="f",
        split_checksum="s",
        synthetic=False,
        unit="patient",
        parts={
            "train": Part(images=6814, units=47),
            "validation": Part(images=1523, units=11),
            "test": Part(images=2324, units=15),
        },
    ),
    scores={
        "f1": Score(value=0.932, low=0.90, high=0.955),
        "roc_auc": Score(value=0.971, low=0.95, high=0.985),
    },
    backend="elephas",
    network="small_cnn",
    seed=0,
    epochs=20,
    trained_at="2026-11-27T10:08:59+00:00",
    run_id="0c696bc6f860402582e94d0a60a1e320",
    training_ranges={"brightness": Range(low=40, high=120)},
    limits=(
        "The images come from one laboratory; another stain or microscope changes the scores.",
        "Single cells that are cut out on black were used; smears with many cells were not.",
    ),
)


@dataclass
class PageService:
    """Service in a thread of this process."""

    card: ModelCard = CARD
    #: Key that requests need; empty accepts all.
    key: str = ""
    #: Path -> status and body of the answer in place of the usual one.
    failures: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    #: Number of requests to ``/predict`` that are refused with 503 before one is answered.
    busy: int = 0
    #: Number of requests to ``/predict`` that are answered; later ones wait until it is raised.
    answered: int = 1000
    #: Names of the images of each request to ``/predict``.
    requests: list[list[str]] = field(default_factory=list)
    #: Classes of the requests to ``/explain``.
    explained: list[str] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> "PageService":
        config = uvicorn.Config(self._app(), "127.0.0.1", 0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.force_exit = True
        self._server.should_exit = True
        self._thread.join()

    def reset(self) -> None:
        """Return to the state at the start."""
        self.card, self.key, self.busy, self.answered = CARD, "", 0, 1000
        self.failures, self.requests, self.explained = {}, [], []

    def _app(self) -> FastAPI:
        app = FastAPI(docs_url=None, openapi_url=None)

        @app.middleware("http")
        async def around(request: Request, call_next: Any) -> Any:
            path = request.url.path
            if path in self.failures:
                status, body = self.failures[path]
                return JSONResponse(body, status)
            is_open = path == "/" or path.startswith("/static/")
            if self.key and not is_open and request.headers.get("x-api-key") != self.key:
                return JSONResponse({"error": "an API key is needed"}, 401)
            response = await call_next(request)
            response.headers["Content-Security-Policy"] = POLICY
            return response

        @app.get("/")
        def index() -> FileResponse:
            return FileResponse(PAGE / "index.html")

        @app.get("/model")
        def model() -> JSONResponse:
            return JSONResponse(
                {**self.card.model_dump(mode="json"), "version": "3", "explains": True}
            )

        @app.get("/examples")
        def examples() -> list[dict[str, str]]:
            names = sorted(path.name for path in (PAGE / "static" / "examples").glob("*.png"))
            return [{"name": name, "url": f"static/examples/{name}"} for name in names]

        app.add_api_route("/predict", self._predict, methods=["POST"])
        app.add_api_route("/explain", self._explain, methods=["POST"])
        app.mount("/static", StaticFiles(directory=PAGE / "static"))
        return app

    async def _predict(self, request: Request) -> JSONResponse:
        if self.busy:
            self.busy -= 1
            return JSONResponse({"error": "the queue is full"}, 503, {"Retry-After": "0.05"})
        files = await _files(request, "images")
        self.requests.append([name for name, _ in files])
        while len(self.requests) > self.answered:
            await asyncio.sleep(0.01)
        images = [self._classified(name, content) for name, content in files]
        document: dict[str, Any] = {
            "model": {"name": self.card.name, "version": "3"},
            "images": images,
        }
        if all("error" in image for image in images):
            return JSONResponse({**document, "error": images[0]["error"]}, 415)
        return JSONResponse(document)

    def _classified(self, name: str, content: bytes) -> dict[str, Any]:
        try:
            pixels = decode(content, 24, 24, "rgb")
        except UnreadableImage as error:
            return {"name": name, "error": error.reason, "status": 415}
        first = float(pixels[..., 0].mean()) / 255
        names = self.card.class_names
        rest = (1 - first) / (len(names) - 1)
        probabilities = dict(zip(names, [first, *[rest] * (len(names) - 1)], strict=True))
        is_dark = pixels.mean() < 40
        return {
            "name": name,
            "class": max(probabilities, key=probabilities.__getitem__),
            "decision": names[0] if first >= self.card.threshold.value else names[1],
            "probabilities": probabilities,
            "warnings": [
                f"The brightness of {pixels.mean():.0f} is outside the range of the training "
                "images (40 to 120)."
            ]
            if is_dark
            else [],
        }

    async def _explain(self, request: Request) -> JSONResponse:
        form = await request.form()
        chosen = str(form["class"])
        self.explained.append(chosen)
        heat = np.zeros((24, 24))
        if chosen == self.card.positive_class:
            rows, columns = np.mgrid[:24, :24]
            heat = np.exp(-((rows - 9) ** 2 + (columns - 8) ** 2) / 30)
        text = base64.b64encode(heat_map_png(heat)).decode()
        return JSONResponse({"heatmap": text, "method": "occlusion", "description": METHOD})


async def _files(request: Request, name: str) -> list[tuple[str, bytes]]:
    form = await request.form()
    found = [one for one in form.getlist(name) if isinstance(one, UploadFile)]
    return [(one.filename or "", await one.read()) for one in found]
