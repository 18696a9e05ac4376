"""Entry point of the function."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from deploy.aws.lambda_.function.application import Application
from deploy.aws.lambda_.function.endpoint import Endpoint
from deploy.aws.lambda_.function.pages import Pages
from deploy.aws.lambda_.function.settings import PAGE, Settings


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the response to a request of the HTTP API, as Lambda expects it."""
    return _application().answer(event, context.get_remaining_time_in_millis() / 1000)


@lru_cache(maxsize=1)
def _application() -> Application:
    """Return the application, which one instance of the function keeps for all its requests."""
    folder = Path(__file__).parent
    settings = Settings.read(folder)
    return Application(settings, Pages(folder / PAGE), Endpoint.connect(settings.endpoint))
