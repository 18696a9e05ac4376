"""Results of an epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """Losses, number of images and duration of an epoch."""

    #: Number of the epoch, from 1.
    number: int
    #: Mean training loss over the images of the epoch, or None if the framework does not report it.
    loss: float | None
    #: Mean loss over the validation images after the epoch.
    validation_loss: float | None = None
    #: Number of training images used in this epoch, summed over all workers.
    images: int = 0
    #: Training time in seconds, without validation.
    seconds: float = 0.0
