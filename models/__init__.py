"""The networks that every backend trains."""

from models.build import LOSS, build, compiled, optimizer
from models.config import ModelConfig, OptimizerConfig
from models.errors import ModelError
from models.weights import checksum, seeded_weights

__all__ = [
    "LOSS",
    "ModelConfig",
    "ModelError",
    "OptimizerConfig",
    "build",
    "checksum",
    "compiled",
    "optimizer",
    "seeded_weights",
]
