"""Scaling studies: seconds and scores by number of workers and of training images."""

from experiments.scaling.figures import draw_scaling
from experiments.scaling.results import Scaling, results
from experiments.scaling.study import Point, run_study

__all__ = ["Point", "Scaling", "draw_scaling", "results", "run_study"]
