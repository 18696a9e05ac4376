"""The process that prepares data: ``python -m experiments.runs.preparation <folder>``.

Preparation runs in a separate process because a JVM that Spark starts in a Python process lives as
long as that process and would be included in the measurements of the following runs.
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


#: Errors whose messages are written for the user.
_USERS = (DataError, ModelError, BackendError)


class PreparationJob(BaseModel):
    """The request of the parent process, stored in ``job.json``."""

    config: DataConfig
    output: str
    workers: int
    #: Frozen backbone whose features replace the pixels.
    backbone: BackboneConfig | None = None
    seed: int = 0
    #: Folder in which synthetic cells are generated.
    drawings: str


def prepared_folder(config: DataConfig, base: str) -> str:
    """Return the folder below ``base`` for the prepared data of ``config``."""
    absolute = config
    if config.source != "synthetic" and "://" not in config.source:
        source = str(Path(config.source).expanduser().absolute())
        absolute = config.model_copy(update={"source": source})
    digest = hashlib.sha256(absolute.model_dump_json().encode()).hexdigest()[:12]
    name = Path(config.source).name or "data"
    return f"{base.rstrip('/')}/{name}-{digest}"


def features_folder(images: str, backbone: BackboneConfig, seed: int) -> str:
    """Return the folder next to ``images`` for the features computed by ``backbone``.

    A changed file of a backbone is detected when the folder is opened.
    """
    return images + _features_suffix(backbone, seed)


def images_folder(features: str, backbone: BackboneConfig, seed: int) -> str:
    """Return the folder of the images next to which `features_folder` is ``features``."""
    return features.removesuffix(_features_suffix(backbone, seed))


def _features_suffix(backbone: BackboneConfig, seed: int) -> str:
    # Without the key that was added later, older folders keep their names.
    added = {"caffemodel"} if backbone.caffemodel is None else None
    content = f"{backbone.model_dump_json(exclude=added)} {seed}"
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return f"-{Path(backbone.name).stem}-{digest}"


def main(folder: Path) -> int:
    """Prepare the data of ``job.json`` and write ``result.json`` or ``failure.json``.

    Returns
    -------
    int
        Exit status: 0 on success, 1 on failure.
    """
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
