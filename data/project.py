"""Root folder of the project, and the packages that all processes of a run need."""

from pathlib import Path

from data import import_path

#: Folder that contains ``run_experiment.py``, ``pyproject.toml`` and the packages.
ROOT = Path(import_path.ROOT)
#: Packages that executors and remote drivers import; Spark and EMR receive them as an archive.
SHIPPED_PACKAGES = ("data", "models", "backends", "experiments")
