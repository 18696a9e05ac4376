"""Routes for orchestrators and for monitoring: liveness, readiness and metrics."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from serving.service.state import Service


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["health"])

    @routes.get("/livez", summary="Whether the process responds")
    async def live() -> JSONResponse:
        return JSONResponse({"alive": True})

    @routes.get("/readyz", summary="Whether requests should be sent to this process")
    async def ready() -> JSONResponse:
        if service.is_ready:
            source = service.predictor.source
            name = source.name or service.predictor.card.name
            return JSONResponse({"ready": True, "model": name, "version": source.version})
        reason = "the service is ending" if service.is_draining else "the model is being loaded"
        return JSONResponse({"ready": False, "reason": reason}, 503)

    @routes.get("/ping", summary="SageMaker's health check")
    async def ping() -> Response:
        return Response(status_code=200 if service.is_ready else 503)

    @routes.get("/metrics", summary="Metrics for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes
