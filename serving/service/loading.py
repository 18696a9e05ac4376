"""Loading of the model, and replacement by a newer version."""

import asyncio
import logging
import time

from serving.errors import ServingError
from serving.service.finding import find
from serving.service.logs import log
from serving.service.metrics import Metrics
from serving.service.predictor import Predictor
from serving.service.settings import Reload, Settings, Source
from serving.service.state import Service
from serving.service.tasks import Threads


async def load(settings: Settings, threads: Threads, metrics: Metrics) -> Predictor:
    """Return the model of the settings, ready to answer.

    Raises
    ------
    ServingError
        If it cannot be used.
    """
    if settings.endpoint is not None:
        from serving.service.endpoint import EndpointPredictor

        return await EndpointPredictor.connect(settings, threads)
    return await _load_local(settings, settings.source, threads, metrics)


async def _load_local(
    settings: Settings, source: Source, threads: Threads, metrics: Metrics
) -> Predictor:
    from serving.service.local import LocalPredictor

    return await asyncio.to_thread(LocalPredictor.load, settings, source, threads, metrics)


async def watch(service: Service, reload: Reload, threads: Threads) -> None:
    """Look for another version of the model again and again, and serve it from then on.

    Requests in progress keep the model with which they began. If a new version cannot be found or
    loaded, the service goes on with the present one.
    """
    while True:
        await asyncio.sleep(reload.seconds)
        try:
            found = await asyncio.to_thread(find, reload.model, reload.tracking_uri)
            if found.is_same(service.predictor.source):
                continue
            began = time.monotonic()
            new = await _load_local(service.settings, found, threads, service.metrics)
        except ServingError as error:
            log("no new version", logging.WARNING, reason=" ".join(str(error).split()))
            continue
        except Exception as error:  # a damaged file raises whatever its library raises
            log("no new version", logging.ERROR, reason=f"{type(error).__name__}: {error}")
            continue
        old = service.predictor
        service.serve(new)
        log(
            "reloaded",
            model=found.name or new.card.name,
            version=found.version,
            before=old.source.version,
            seconds=round(time.monotonic() - began, 3),
        )
        old.close()
