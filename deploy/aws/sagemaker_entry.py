"""What the worker image does in a training job of SageMaker.

Reads hyperparameters and channels from ``/opt/ml/input``, runs ``run_experiment.py``, leaves the
record in ``output/data`` (``output.tar.gz``), the trained networks in ``model`` (``model.tar.gz``)
and, when it fails, the reason in ``output/failure``, which SageMaker shows. Records whose MLflow
server was away are in ``output/data/outbox``.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Modules are found from the project's folder, not from this one.
sys.path[0] = str(Path(__file__).resolve().parents[2])
from deploy.aws.hyperparameters import IMAGES, decode  # noqa: E402

#: SageMaker's folder, elsewhere in tests.
ROOT_VARIABLE = "SAGEMAKER_ROOT"
#: Characters of a failure that SageMaker shows.
_FAILURE_LENGTH = 1024
_RUNNER = Path(__file__).resolve().parents[2] / "run_experiment.py"


def main() -> int:
    """Run; return the exit status of the run."""
    root = Path(os.environ.get(ROOT_VARIABLE, "/opt/ml"))
    if problem := unwritable(root):
        sys.stderr.write(f"error: {problem}\n")
        with contextlib.suppress(OSError):  # perhaps this one can be
            _fail(root, problem)
        return 2
    record = root / "output" / "data"
    record.mkdir(parents=True, exist_ok=True)
    console = record / "console.log"
    status = _run(command(root, record), record / "records.jsonl", console)
    if status != 0:
        last = [line for line in console.read_text(errors="replace").splitlines() if line.strip()]
        reason = "\n".join(last[-5:]) or f"run_experiment.py ended with status {status}"
        _fail(root, reason)
    keep_models(record / "records.jsonl", root / "model")
    return status


def unwritable(root: Path) -> str | None:
    """Return what to do when SageMaker's folders cannot be written, before anything trains."""
    for folder in (root / "model", root / "output"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return (
                f"{folder} cannot be written ({error.strerror}): use the image of 'docker build "
                "--target sagemaker', which runs as root, because SageMaker's folders belong to "
                "root"
            )
    return None


def _fail(root: Path, reason: str) -> None:
    (root / "output" / "failure").write_text(reason[-_FAILURE_LENGTH:])


def command(root: Path, record: Path) -> list[str]:
    """Return the command line of the run that SageMaker's folder describes."""
    file = root / "input" / "config" / "hyperparameters.json"
    hyperparameters: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    channel = root / "input" / "data" / IMAGES
    if channel.is_dir():
        hyperparameters["data"] = str(channel)
    hyperparameters.setdefault("tracking-uri", f"sqlite:///{record}/mlflow.db")
    hyperparameters["json"] = "true"
    return [sys.executable, "-u", str(_RUNNER), *decode(hyperparameters)]


def keep_models(records: Path, folder: Path) -> None:
    """Copy the network of every run that finished to ``folder/<backend>-seed<seed>``.

    A run whose MLflow server was away has its network in the record that waits.
    """
    for line in records.read_text().splitlines():
        run = json.loads(line)
        if run["status"] != "FINISHED" or not run["tags"].get("initial_weights.checksum"):
            continue
        name = f"{run['backend']}-seed{run['seed']}"
        try:
            _download(run, folder / name)
        except Exception as error:  # the run itself went well, and the others have networks too
            sys.stderr.write(f"warning: no network of {name} in model.tar.gz: {error}\n")


def _download(run: dict[str, Any], target: Path) -> None:
    import mlflow

    found = mlflow.artifacts.download_artifacts(
        run_id=run["run_id"], artifact_path="model", tracking_uri=run["tracking_uri"]
    )
    shutil.copytree(found, target, dirs_exist_ok=True)


def _run(command: list[str], records: Path, console: Path) -> int:
    """Run with the record's lines in one file and the rest on screen and in another.

    Records that wait for their MLflow server are copied beside them.
    """
    with tempfile.TemporaryDirectory() as work, records.open("wb") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.PIPE, cwd=work)
        # SageMaker's time limit: the runner closes its records, within the two minutes it gives.
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stderr is not None
        with console.open("wb") as log:
            for line in process.stderr:
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
                log.write(line)
        status = process.wait()
        waiting = Path(work, "work", "outbox")
        if waiting.is_dir() and any(waiting.iterdir()):
            shutil.copytree(waiting, console.parent / waiting.name, dirs_exist_ok=True)
        return status


if __name__ == "__main__":
    sys.exit(main())
