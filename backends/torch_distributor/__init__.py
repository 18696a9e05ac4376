"""PyTorch under TorchDistributor, which is part of Spark, with the Keras network."""

from backends.torch_distributor.backend import TorchDistributor

__all__ = ["TorchDistributor"]
