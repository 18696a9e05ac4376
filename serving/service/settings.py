"""Settings of the service and its limits."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.images import MAX_IMAGE_PIXELS
from serving.network import Engine

_MB = 2**20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Limits(_Frozen):
    """Limits of requests, connections and memory."""

    #: Largest body of a request, in bytes.
    body_bytes: int = Field(default=25 * _MB, ge=1024)
    #: Largest total size of the bodies that are held at the same time, in bytes.
    buffered_bytes: int = Field(default=256 * _MB, ge=1024)
    #: Largest number of pixels of an image.
    pixels: int = Field(default=MAX_IMAGE_PIXELS, ge=1, le=MAX_IMAGE_PIXELS)
    #: Largest number of images in a request.
    images: int = Field(default=64, ge=1)
    #: Largest number of images that wait or are computed.
    queue: int = Field(default=256, ge=1)
    #: Largest number of open connections.
    connections: int = Field(default=4096, ge=1)
    #: Seconds for the head of a request to arrive, and for its body.
    head_seconds: float = Field(default=10.0, gt=0)
    body_seconds: float = Field(default=30.0, gt=0)
    #: Seconds for the decoding of one image.
    decode_seconds: float = Field(default=10.0, gt=0)
    #: Seconds from the arrival of a request to its answer.
    request_seconds: float = Field(default=60.0, gt=0)
    #: Seconds for which an idle connection is kept open.
    idle_seconds: int = Field(default=30, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Limits":
        if self.images > self.queue:
            raise ValueError("the limit of images in a request is larger than the queue")
        return self


class Source(_Frozen):
    """Model that is served."""

    #: Folder of an MLflow model or its folder ``classifier``; None for an endpoint without one.
    folder: Path | None = None
    #: Registered name and version; empty if the model is not registered.
    name: str = ""
    version: str = ""
    #: Run that recorded the model, or empty.
    run_id: str = ""

    def is_same(self, other: "Source") -> bool:
        """Return whether both are the same model, wherever it was downloaded to."""
        if self.version or other.version:
            return (self.name, self.version) == (other.name, other.version)
        return self.folder == other.folder


class Reload(_Frozen):
    """Search for newer versions of the model."""

    #: Model as given on the command line, such as ``malaria-elephas@best``.
    model: str
    tracking_uri: str | None = None
    #: Seconds between two searches.
    seconds: float = Field(default=60.0, gt=0)


class Settings(_Frozen):
    """Settings of one process of the service."""

    source: Source = Source()
    engine: Engine | None = None
    #: Number of threads of the inference engine; None uses one for each core.
    threads: int | None = Field(default=None, ge=1)
    #: Name of the SageMaker endpoint that predicts in place of a local model, and its region.
    endpoint: str | None = None
    region: str | None = None
    #: File with one API key per line; None accepts all requests.
    api_key_file: Path | None = None
    reload: Reload | None = None
    #: Seconds during which the service is not ready but accepts requests, before it ends.
    drain_seconds: float = Field(default=2.0, ge=0)
    limits: Limits = Limits()
