"""Searching for good settings of one backend, on the validation images alone."""

from experiments.tuning.results import write_results
from experiments.tuning.search import OBJECTIVES, Search, run_search

__all__ = ["OBJECTIVES", "Search", "run_search", "write_results"]
