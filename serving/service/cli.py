"""Options of ``sparkdl-bench serve``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from data.command_line import plain_errors

_LIMITS = "Limits"
_SAGEMAKER = "SageMaker"
_SECURITY = "Security"
LogLevel = Literal["debug", "info", "warning", "error"]


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Registered name (newest version), NAME@ALIAS, NAME/3, id of a run, or folder of "
            "a recorded model.",
            show_default=False,
        ),
    ] = None,
    *,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, envvar="SAGEMAKER_BIND_TO_PORT", help="Port; 0 selects a free one."
        ),
    ] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 accepts other machines.")
    ] = "127.0.0.1",
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow database or server with the model.")
    ] = None,
    engine: Annotated[
        Literal["openvino", "keras"] | None,
        typer.Option(help="Default: OpenVINO if its probabilities agree with those of Keras."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads for inference; default: one for each core."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, envvar="MODEL_SERVER_WORKERS", help="Number of processes.")
    ] = 1,
    reload_alias: Annotated[
        bool,
        typer.Option(
            "--reload-alias", help="Serve another version as soon as MODEL refers to one."
        ),
    ] = False,
    reload_seconds: Annotated[
        float, typer.Option(min=1, help="Seconds between two searches for another version.")
    ] = 60.0,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with one API key per line, which requests must present as X-API-Key.",
            rich_help_panel=_SECURITY,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="SageMaker endpoint that predicts in place of a local model.",
            rich_help_panel=_SAGEMAKER,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="AWS region of the endpoint.", rich_help_panel=_SAGEMAKER),
    ] = None,
    max_body_mb: Annotated[
        float, typer.Option(min=0.01, help="Size of a request.", rich_help_panel=_LIMITS)
    ] = 25.0,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pixels of an image; default: 64 million.", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_images: Annotated[
        int, typer.Option(min=1, help="Images in a request.", rich_help_panel=_LIMITS)
    ] = 64,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Images that wait at the same time.", rich_help_panel=_LIMITS)
    ] = 256,
    decode_seconds: Annotated[
        float, typer.Option(min=0.01, help="Time to decode an image.", rich_help_panel=_LIMITS)
    ] = 10.0,
    request_seconds: Annotated[
        float, typer.Option(min=0.1, help="Time for a request.", rich_help_panel=_LIMITS)
    ] = 60.0,
    head_seconds: Annotated[
        float,
        typer.Option(
            min=0.1, help="Time for the head of a request to arrive.", rich_help_panel=_LIMITS
        ),
    ] = 10.0,
    body_seconds: Annotated[
        float, typer.Option(min=0.1, help="Time for a body to arrive.", rich_help_panel=_LIMITS)
    ] = 30.0,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="Time from SIGTERM until no connection is accepted any more."),
    ] = 2.0,
    log_level: Annotated[LogLevel, typer.Option(help="Least important level of the log.")] = "info",
) -> None:
    """Serve a model over HTTP, with a web page: SageMaker's contract, POST /predict, /metrics.

    sparkdl-bench serve malaria-elephas@best
    """
    with plain_errors():
        limits: dict[str, Any] = {
            "body_bytes": int(max_body_mb * 2**20),
            "images": max_images,
            "queue": max_queue,
            "decode_seconds": decode_seconds,
            "request_seconds": request_seconds,
            "head_seconds": head_seconds,
            "body_seconds": body_seconds,
        }
        if max_pixels is not None:
            limits["pixels"] = max_pixels
        settings = _settings(
            model,
            tracking_uri,
            reload_seconds if reload_alias else None,
            limits,
            engine=engine,
            threads=threads,
            api_key_file=api_key_file,
            endpoint=endpoint,
            region=region,
            drain_seconds=drain_seconds,
        )
        from serving.service.server import serve as run

        status = run(settings, host=host, port=port, workers=workers, log_level=log_level)
    raise typer.Exit(status)


def _settings(
    model: str | None,
    tracking_uri: str | None,
    reload_seconds: float | None,
    limits: dict[str, Any],
    **values: Any,
) -> Any:
    """Return the settings, with the model found.

    Raises
    ------
    ServingError
        If a setting is not valid or there is no such model.
    """
    from pydantic import ValidationError

    from serving.errors import ServingError
    from serving.service.finding import find
    from serving.service.keys import read_keys
    from serving.service.settings import Limits, Reload, Settings, Source

    if model is None and values["endpoint"] is None:
        raise ServingError("name a model, or a SageMaker endpoint with --endpoint")
    if values["api_key_file"] is not None:
        read_keys(values["api_key_file"])
    source = find(model, tracking_uri) if model is not None else Source()
    reload = None
    if reload_seconds is not None:
        if model is None or not source.version:
            raise ServingError(
                "--reload-alias needs a registered model, such as malaria-elephas@best"
            )
        reload = Reload(model=model, tracking_uri=tracking_uri, seconds=reload_seconds)
    try:
        return Settings(source=source, reload=reload, limits=Limits(**limits), **values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        raise ServingError(f"{place}: {message}" if place else message) from error
