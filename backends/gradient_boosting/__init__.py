"""Gradient-boosted trees on color and texture: the baseline that a deep network must exceed."""

from backends.gradient_boosting.backend import GradientBoosting, GradientBoostingOptions

__all__ = ["GradientBoosting", "GradientBoostingOptions"]
