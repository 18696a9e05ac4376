"""Suitable image size for a model, without importing Keras."""

from models.application_sizes import APPLICATION_SIZES
from models.config import NETWORK_NAMES, ModelConfig

#: Longer side in pixels up to which images are not scaled down for this project's networks. Larger
#: images cost time in proportion to their area and memory in the dense layers.
NETWORK_SIDE = 128
#: Assumed side in pixels for a backbone in a file, which is not opened for this purpose.
_USUAL_SIDE = 224


def longest_side(model: ModelConfig) -> int:
    """Return the largest sensible length in pixels of the longer side of images for ``model``."""
    backbone = model.backbone
    if backbone is None or backbone.name in NETWORK_NAMES:
        return (backbone and backbone.image_size) or NETWORK_SIDE
    return backbone.image_size or APPLICATION_SIZES.get(backbone.name, _USUAL_SIDE)
