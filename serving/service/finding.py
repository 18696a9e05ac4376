"""Search for a model in a process of its own, so that the service does not import MLflow."""

import json
import subprocess
import sys
from pathlib import Path

from data.process_environment import for_children
from serving.classifier import classifier_folder
from serving.errors import ServingError
from serving.service.settings import Source

#: Seconds for the search, which may download the model.
_LIMIT = 600


def find(model: str, tracking_uri: str | None = None) -> Source:
    """Return the folder, name and version of a model.

    Parameters
    ----------
    model
        Registered name, with an alias or a version if wanted; run id; or folder.
    tracking_uri
        Store of the record, as for `serving.find.find_model`.

    Raises
    ------
    ServingError
        If there is no such model; one line.
    """
    if (folder := _in_folder(Path(model))) is not None:
        return Source(folder=folder)
    command = [sys.executable, "-m", "serving.find", model]
    if tracking_uri is not None:
        command += ["--tracking-uri", tracking_uri]
    try:
        done = subprocess.run(
            command,
            env=for_children(here=False),
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise ServingError(f"the search for {model} took more than {_LIMIT} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["the search failed"])[-1]
        raise ServingError(last.removeprefix("error: "))
    found = json.loads(done.stdout.splitlines()[-1])
    version = found["version"]
    return Source(
        folder=Path(found["folder"]).absolute(),
        name=found["name"],
        version="" if version is None else str(version),
        run_id=found["run_id"],
    )


def _in_folder(folder: Path) -> Path | None:
    """Return the folder of the classifier in ``folder``, or None if it has none.

    A training job on SageMaker leaves one folder for each run.

    Raises
    ------
    ServingError
        If there are several.
    """
    found = []
    for one in (folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
        try:
            found.append(classifier_folder(one).absolute())
        except ServingError:
            continue
        if one == folder:
            break
    if len(found) > 1:
        names = ", ".join(sorted(path.name for path in folder.glob("*") if path.is_dir()))
        raise ServingError(f"{folder} has several models ({names}): name the folder of one")
    return found[0] if found else None
