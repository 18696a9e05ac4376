"""Root folder of the project, and the packages that every process of a run needs."""

from pathlib import Path

from data import import_path

#: Folder that holds ``run_experiment.py``, ``pyproject.toml`` and the packages.
ROOT = Path(import_path.ROOT)
#: Packages that executors and remote drivers import. Spark and EMR get them as an archive.
SHIPPED_PACKAGES = ("data", "models", "backends", "experiments")
