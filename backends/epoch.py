"""What is known of an epoch when it ends."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What is known when an epoch ends."""

    #: From 1.
    number: int
    #: Mean training loss over the images of the epoch, or None where the framework hides it.
    loss: float | None
    #: Mean loss over the validation images after the epoch.
    validation_loss: float | None = None
    #: Images trained on in this epoch, all workers together.
    images: int = 0
    #: Seconds spent training, validation left out.
    seconds: float = 0.0
