"""The process that prepares data: ``python -m experiments.preparation <folder>``.

A process of its own, because the JVM that Spark leaves in a Python process stays until its end
and would be counted in the runs that follow.
"""

import hashlib
import json
import sys
import traceback
from pathlib import Path

from pydantic import BaseModel

from data.config import DataConfig
from data.errors import DataError
from experiments.events import EventWriter


class PreparationJob(BaseModel):
    """What the parent asks for."""

    config: DataConfig
    output: str
    workers: int


def prepared_folder(config: DataConfig, work: Path) -> Path:
    """Return where the data of ``config`` is prepared: one folder for each configuration."""
    absolute = config
    if config.source != "synthetic" and "://" not in config.source:
        source = str(Path(config.source).expanduser().absolute())
        absolute = config.model_copy(update={"source": source})
    digest = hashlib.sha256(absolute.model_dump_json().encode()).hexdigest()[:12]
    name = Path(config.source).name or "data"
    return work / "data" / f"{name}-{digest}"


def main(folder: Path) -> int:
    """Prepare; leave ``failure.json`` when the data cannot be used."""
    from data.ingest import prepare

    events = EventWriter(folder / "events.jsonl")
    job = PreparationJob.model_validate_json((folder / "job.json").read_text())
    try:
        prepare(
            job.config,
            job.output,
            workers=job.workers,
            progress=lambda done, total: events.send("prepared", done=done, total=total),
        )
    except Exception as error:
        traceback.print_exc()
        failure = {"message": str(error), "users": isinstance(error, DataError)}
        (folder / "failure.json").write_text(json.dumps(failure))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
