"""Estimate of the memory that an executor needs: BigDL keeps all data in the heap of its JVM.

Measured with two workers, full exchange and Adam: the maximum of live data in an executor's heap
after full collections, sampled every 1.2 s during two epochs.

============== ============= ================ ===========
network        images        images per step  live, MiB
                             and worker
============== ============= ================ ===========
small_cnn      48 x 48 x 3   16               130
lesion_cnn     100 x 100 x 3 32               2456
mini_xception  180 x 180 x 3 8                5299
mini_xception  48 x 48 x 3   32               2185
mini_xception  24 x 24 x 3   24               909
============== ============= ================ ===========

The last two rows were measured with one worker. The estimate consists of a term that grows with
area and batch (BigDL unfolds each batch into a matrix and keeps it for the backward pass) and one
that grows with weights and batch (its convolutions keep a gradient of the weights for each image),
plus a quarter. It must not be too small: without enough memory, a step of BigDL silently loses its
gradient and the next job fails with a ``NullPointerException``.
"""

from dataclasses import dataclass
from math import ceil, prod

from backends.base import TrainingTask
from backends.bigdl.samples import steps_per_epoch

_MIB = 2**20
#: MiB for Spark, BigDL's classes and the blocks of one shuffle.
_BASE_MB = 300
#: Smallest heap in MiB, and the multiple to which it is rounded up.
_FLOOR_MB = 1024
_STEP_MB = 128
#: Factor on live data for garbage between two collections and the young generation.
_MARGIN = 1.25
#: Copies for weights, gradients, the optimizer's state, and sent and received data.
_COPIES_OF_WEIGHTS = 8
#: Copies for the images of an epoch and those of the previous one, which are not yet freed.
_COPIES_OF_IMAGES = 2
#: Fraction of the heap in which Spark stores data.
_STORAGE_SHARE = 0.6
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class _Footprint:
    """Memory requirements of a network, in part relative to the area of an image in pixels."""

    #: Bytes of activations, their gradients and unfolded batches per pixel of an image.
    bytes_per_pixel: int
    #: Number of weights that does not depend on the image size.
    weights: int
    #: Number of weights of the dense layer after ``Flatten`` per pixel.
    weights_per_pixel: int = 0


_FOOTPRINTS = {
    "small_cnn": _Footprint(2_500, 60_000, 64),
    "lesion_cnn": _Footprint(6_200, 250_000, 2048),
    "mini_xception": _Footprint(20_000, 2_800_000),
}
#: Assumed for other networks: the largest requirements.
_UNKNOWN = _Footprint(20_000, 30_000_000)


def executor_megabytes(task: TrainingTask) -> int:
    """Return the heap of an executor in MiB, without reading pixels or importing a framework."""
    footprint = _FOOTPRINTS.get(task.model.name, _UNKNOWN)
    height, width, _ = task.data.image_shape
    area = height * width
    weights = footprint.weights + footprint.weights_per_pixel * area
    images = steps_per_epoch(task) * task.worker_batch_size
    image_bytes = prod(task.data.image_shape) * _FLOAT_BYTES
    needed = (
        _COPIES_OF_WEIGHTS * weights * _FLOAT_BYTES
        + footprint.bytes_per_pixel * area * task.worker_batch_size
        + footprint.weights * task.worker_batch_size * _FLOAT_BYTES
        + _COPIES_OF_IMAGES * images * image_bytes / _STORAGE_SHARE
    )
    megabytes = _MARGIN * (_BASE_MB + needed / _MIB)
    return max(_FLOOR_MB, ceil(megabytes / _STEP_MB) * _STEP_MB)
