"""Networks that are trained with every backend."""

from models.build import LOSS, build, compiled, loss, optimizer
from models.config import BackboneConfig, ModelConfig, OptimizerConfig
from models.errors import ModelError
from models.specification import NetworkSpec
from models.weights import checksum, seeded_weights

__all__ = [
    "LOSS",
    "BackboneConfig",
    "ModelConfig",
    "ModelError",
    "NetworkSpec",
    "OptimizerConfig",
    "build",
    "checksum",
    "compiled",
    "loss",
    "optimizer",
    "seeded_weights",
]
