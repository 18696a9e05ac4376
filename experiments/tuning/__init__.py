"""Hyperparameter search for one backend, using only the validation images."""

from experiments.tuning.results import write_results
from experiments.tuning.search import OBJECTIVES, Search, run_search

__all__ = ["OBJECTIVES", "Search", "run_search", "write_results"]
