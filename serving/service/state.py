"""State of one process of the service, shared by its routes."""

import asyncio
from collections.abc import Sequence

from serving.service.admission import Admission
from serving.service.errors import RejectedImageError, RequestError, UnavailableError
from serving.service.metrics import Metrics
from serving.service.predictor import Answer, ImageInput, Predictor
from serving.service.settings import Settings


class Service:
    """Model that is served, and what is in progress.

    Parameters
    ----------
    settings
        Settings.
    metrics
        Metrics.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.admission = Admission(settings.limits)
        metrics.watch_queue(lambda: self.admission.images)
        #: True once the service has been asked to end.
        self.is_draining = False
        self._predictor: Predictor | None = None

    @property
    def predictor(self) -> Predictor:
        """Model for a new request, which keeps it to its end.

        Raises
        ------
        UnavailableError
            If the model is not loaded yet.
        """
        if self._predictor is None:
            raise UnavailableError("the model is being loaded: repeat the request later")
        return self._predictor

    @property
    def is_ready(self) -> bool:
        """True if this process accepts new requests."""
        return self._predictor is not None and not self.is_draining

    def serve(self, predictor: Predictor) -> None:
        """Use a model for all requests from now on."""
        self._predictor = predictor
        self.metrics.model(predictor)

    def check_count(self, images: int) -> None:
        """Check the number of images of a request.

        Raises
        ------
        RequestError
            If there are none (400) or too many (413).
        """
        if images == 0:
            raise RequestError(400, "the request has no images")
        if images > self.settings.limits.images:
            raise RequestError(
                413, f"{images} images exceed the {self.settings.limits.images} of a request"
            )

    async def classify(
        self, predictor: Predictor, images: Sequence[ImageInput], *, describe: bool = False
    ) -> list[Answer | RequestError]:
        """Return the answer or the error for each image of a request.

        Raises
        ------
        UnavailableError
            If the queue has no place for them.
        """
        with self.admission.enter(len(images)):
            if len(images) == 1:
                return [await self._answer(predictor, images[0], describe)]
            return await asyncio.gather(
                *(self._answer(predictor, image, describe) for image in images)
            )

    async def _answer(
        self, predictor: Predictor, image: ImageInput, describe: bool
    ) -> Answer | RequestError:
        try:
            return await predictor.classify(image, describe=describe)
        except RejectedImageError as error:
            self.metrics.rejected(error.kind)
            return error
        except RequestError as error:
            return error
