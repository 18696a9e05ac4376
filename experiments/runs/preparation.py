"""The process that prepares data: ``python -m experiments.runs.preparation <folder>``.

A process of its own, because the JVM that Spark leaves in a Python process stays until its end
and would be counted in the runs that follow.
"""

import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from backends.errors import BackendError
from data.config import DataConfig
from data.errors import DataError
from experiments.processes.events import EventWriter
from experiments.runs.failures import plain_reason
from models import BackboneConfig, ModelError

if TYPE_CHECKING:
    from data.prepared import PreparedData


#: Errors that tell the user what to do.
_USERS = (DataError, ModelError, BackendError)


class PreparationJob(BaseModel):
    """What the parent asks for."""

    config: DataConfig
    output: str
    workers: int
    #: A frozen backbone whose features are to stand for the pixels.
    backbone: BackboneConfig | None = None
    seed: int = 0
    #: Where synthetic cells are drawn.
    drawings: str


def prepared_folder(config: DataConfig, base: str) -> str:
    """Return where below ``base`` the data of ``config`` is prepared: one folder for each."""
    absolute = config
    if config.source != "synthetic" and "://" not in config.source:
        source = str(Path(config.source).expanduser().absolute())
        absolute = config.model_copy(update={"source": source})
    digest = hashlib.sha256(absolute.model_dump_json().encode()).hexdigest()[:12]
    name = Path(config.source).name or "data"
    return f"{base.rstrip('/')}/{name}-{digest}"


def features_folder(images: str, backbone: BackboneConfig, seed: int) -> str:
    """Return where the features of ``images`` are kept: beside them, one folder for each backbone.

    A backbone's file that changed is noticed when the folder is opened.
    """
    content = f"{backbone.model_dump_json()} {seed}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return f"{images}-{Path(backbone.name).stem}-{digest}"


def main(folder: Path) -> int:
    """Prepare; leave ``result.json`` with the folder, or ``failure.json``."""
    events = EventWriter(folder / "events.jsonl")
    job = PreparationJob.model_validate_json((folder / "job.json").read_text())
    try:
        data = _prepare(job, lambda done, total: events.send("prepared", done=done, total=total))
    except Exception as error:
        traceback.print_exc()
        known = isinstance(error, _USERS)
        message = str(error) if known else plain_reason(error)
        failure = {"message": message, "kind": type(error).__name__ if known else ""}
        (folder / "failure.json").write_text(json.dumps(failure))
        return 1
    (folder / "result.json").write_text(json.dumps({"uri": data.uri}))
    return 0


def _prepare(job: PreparationJob, progress: Callable[[int, int], None]) -> "PreparedData":
    from data.ingest import prepare

    images = prepare(
        job.config, job.output, workers=job.workers, progress=progress, drawings=job.drawings
    )
    if job.backbone is None:
        return images
    from backends.featurizer.derived import derive

    output = features_folder(job.output, job.backbone, job.seed)
    return derive(
        images,
        job.backbone,
        output,
        seed=job.seed,
        workers=job.workers,
        progress=progress,
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
