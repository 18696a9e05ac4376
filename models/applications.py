"""Models of ``keras.applications`` as backbones: sizes, preprocessing, ImageNet weights."""

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from models.errors import ModelError
from models.weights import seeded_kernels

if TYPE_CHECKING:
    import keras

#: Socket timeout of downloads, in seconds; Keras itself sets none and would wait forever.
DOWNLOAD_SILENCE = 30
#: Side in pixels assumed for models that do not report the size they were trained at.
USUAL_SIZE = 224


def names() -> tuple[str, ...]:
    """Return the names of all models of ``keras.applications``."""
    import keras

    return tuple(name for name in dir(keras.applications) if name[0].isupper())


def sizes(name: str) -> tuple[int, int]:
    """Return the smallest input side of a model and the side it was trained at, in pixels.

    Keras exposes both only in its error message for a one-pixel image, which it raises before
    anything is built or downloaded.

    Raises
    ------
    ModelError
        If the name is unknown.
    """
    application = _application(name)
    smallest = re.search(r"at least (\d+)", _refusal(application, None, include_top=False))
    trained = re.search(r"should be \((\d+)", _refusal(application, "imagenet", include_top=True))
    return (
        int(smallest[1]) if smallest else 1,
        int(trained[1]) if trained else USUAL_SIZE,
    )


def load(name: str, shape: tuple[int, int, int], weights: str, seed: int) -> "keras.Model":
    """Return a model without its head; its input is the output of :func:`preprocessing`.

    Parameters
    ----------
    name
        Name of the model in ``keras.applications``.
    shape
        Input shape: height, width and 3.
    weights
        ``imagenet``, or ``none`` for random initial weights: kernels of :func:`seeded_kernels`,
        which are equal on every machine and with every backend of Keras.
    seed
        Seed of the weights if ``weights`` is ``none``.

    Raises
    ------
    ModelError
        If the weights cannot be downloaded.
    """
    application = _application(name)
    options: dict[str, Any] = {"include_top": False, "input_shape": shape}
    if weights == "none":
        network = application(weights=None, **options)
        network.set_weights(seeded_kernels(network, seed))
    else:
        try:
            with _patience():
                network = application(weights="imagenet", **options)
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise ModelError(
                f"the ImageNet weights of {name} cannot be loaded ({_first_line(error)}): connect "
                "this machine to the Internet once, copy ~/.keras/models from a machine that has "
                "them, or use a .keras file as the backbone"
            ) from error
    return network


def preprocessing(name: str) -> Callable[[Any], Any]:
    """Return the function that preprocesses pixels 0..255 for models of the family of ``name``."""
    preprocess: Callable[[Any], Any] = sys.modules[_application(name).__module__].preprocess_input
    return preprocess


def _application(name: str) -> Callable[..., Any]:
    import keras

    if name not in names():
        near = get_close_matches(name, names(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ModelError(
            f"unknown backbone '{name}'{hint} (a model of keras.applications such as ResNet50, a "
            ".keras file, or one of this project's networks)"
        )
    application: Callable[..., Any] = getattr(keras.applications, name)
    return application


def _refusal(application: Callable[..., Any], weights: str | None, *, include_top: bool) -> str:
    try:
        application(weights=weights, include_top=include_top, input_shape=(1, 1, 3))
    except ValueError as error:
        return str(error)
    return ""


@contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
