"""Entry point of the worker image in a training job of SageMaker.

The program reads hyperparameters and channels from ``/opt/ml/input`` and runs
``run_experiment.py``. It writes the record to ``output/data`` (``output.tar.gz``), the trained
models to ``model`` (``model.tar.gz``) and, after a failure, the reason to ``output/failure``, which
SageMaker shows. Pending records whose MLflow server was unreachable are in ``output/data/outbox``.
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

# Import from the project's folder instead of this file's.
sys.path[0] = str(Path(__file__).resolve().parents[3])
from deploy.aws.sagemaker.hyperparameters import IMAGES, decode  # noqa: E402

#: Variable that overrides SageMaker's folder, for tests.
ROOT_VARIABLE = "SAGEMAKER_ROOT"
#: Number of characters of a failure that SageMaker shows.
_FAILURE_LENGTH = 1024
_RUNNER = Path(__file__).resolve().parents[3] / "run_experiment.py"


def main() -> int:
    """Run the experiment and return its exit status."""
    root = Path(os.environ.get(ROOT_VARIABLE, "/opt/ml"))
    if problem := unwritable(root):
        sys.stderr.write(f"error: {problem}\n")
        with contextlib.suppress(OSError):  # this folder may be unwritable too
            _fail(root, problem)
        return 2
    record = root / "output" / "data"
    record.mkdir(parents=True, exist_ok=True)
    console = record / "console.log"
    status = _run(command(root, record), record / "records.jsonl", console)
    if status != 0:
        last = [line for line in console.read_text(errors="replace").splitlines() if line.strip()]
        reason = "\n".join(last[-5:]) or f"run_experiment.py exited with status {status}"
        _fail(root, reason)
    keep_models(record / "records.jsonl", root / "model")
    return status


def unwritable(root: Path) -> str | None:
    """Return an error message if SageMaker's folders cannot be written, else None."""
    for folder in (root / "model", root / "output"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return (
                f"{folder} cannot be written ({error.strerror}): use the image built with 'docker "
                "build --target sagemaker', which runs as root, because SageMaker's folders belong "
                "to root"
            )
    return None


def _fail(root: Path, reason: str) -> None:
    (root / "output" / "failure").write_text(reason[-_FAILURE_LENGTH:])


def command(root: Path, record: Path) -> list[str]:
    """Return the command line of the run for the input in SageMaker's folder."""
    file = root / "input" / "config" / "hyperparameters.json"
    hyperparameters: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    channel = root / "input" / "data" / IMAGES
    if channel.is_dir():
        hyperparameters["data"] = str(channel)
    hyperparameters.setdefault("tracking-uri", f"sqlite:///{record}/mlflow.db")
    hyperparameters["json"] = "true"
    return [sys.executable, "-u", str(_RUNNER), *decode(hyperparameters)]


def keep_models(records: Path, folder: Path) -> None:
    """Copy the model of every finished run to ``folder/<backend>-seed<seed>``.

    The model of a run whose MLflow server was unreachable is in its pending record instead.
    """
    for line in records.read_text().splitlines():
        run = json.loads(line)
        if run["status"] != "FINISHED" or not run["tags"].get("initial_weights.checksum"):
            continue
        name = f"{run['backend']}-seed{run['seed']}"
        try:
            _download(run, folder / name)
        except Exception as error:  # the run itself succeeded, and other runs have models too
            sys.stderr.write(f"warning: model.tar.gz lacks the model of {name}: {error}\n")


def _download(run: dict[str, Any], target: Path) -> None:
    import mlflow

    found = mlflow.artifacts.download_artifacts(
        run_id=run["run_id"], artifact_path="model", tracking_uri=run["tracking_uri"]
    )
    shutil.copytree(found, target, dirs_exist_ok=True)


def _run(command: list[str], records: Path, console: Path) -> int:
    """Run ``command``; write stdout to ``records``, and stderr to ``console`` and the screen.

    Pending records are copied to the folder of ``console``.
    """
    with tempfile.TemporaryDirectory() as work, records.open("wb") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.PIPE, cwd=work)
        # At the time limit SageMaker sends TERM and allows two minutes to close the records.
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        assert process.stderr is not None
        with console.open("wb") as log:
            for line in process.stderr:
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
                log.write(line)
        status = process.wait()
        pending = Path(work, "work", "outbox")
        if pending.is_dir() and any(pending.iterdir()):
            shutil.copytree(pending, console.parent / pending.name, dirs_exist_ok=True)
        return status


if __name__ == "__main__":
    sys.exit(main())
