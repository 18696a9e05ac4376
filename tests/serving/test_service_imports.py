"""Packages that the service imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.project import ROOT


@pytest.mark.slow
def test_neither_mlflow_nor_spark_is_imported(recorded_model: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from serving.service.app import create_app\n"
        "from serving.service.local import LocalPredictor\n"
        "from serving.service.metrics import Metrics\n"
        "from serving.service.settings import Settings, Source\n"
        "from serving.service.tasks import Threads\n"
        "settings = Settings(source=Source(folder=Path(sys.argv[1])))\n"
        "create_app(settings)\n"
        "LocalPredictor.load(settings, settings.source, Threads(1), Metrics())\n"
        "heavy = ('tensorflow', 'keras', 'mlflow', 'pyspark', 'scipy', 'sklearn', 'pandas',\n"
        "         'boto3', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, str(recorded_model)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
