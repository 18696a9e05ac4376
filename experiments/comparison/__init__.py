"""Comparison of runs from their records in MLflow."""

from experiments.comparison.findings import BASELINE, Findings, compare
from experiments.comparison.promotion import promote
from experiments.comparison.report import write_report
from experiments.comparison.runs import ComparedRun, find_runs

__all__ = ["BASELINE", "ComparedRun", "Findings", "compare", "find_runs", "promote", "write_report"]
