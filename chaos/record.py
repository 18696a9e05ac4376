"""Recording of the tables as an MLflow run."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shutil import copy2
from tempfile import TemporaryDirectory

from chaos.outcome import Outcome
from chaos.table import MARKDOWN, SPREADSHEET
from experiments.config import Experiment
from experiments.records import FAILED, FINISHED
from experiments.tracking import provenance
from experiments.tracking.recorder import Recorder


def record_tables(
    experiment: Experiment, outcomes: Sequence[Outcome], folder: Path, tracking_uri: str
) -> str:
    """Record the tables of ``folder`` and the number of each verdict; return the id of the run.

    The run is FAILED if any verdict counts as an error (:data:`chaos.outcome.BAD`).
    """
    recorder = Recorder(tracking_uri, f"{experiment.name}-chaos")
    backends = dict.fromkeys(one.backend for one in outcomes)
    faults = dict.fromkeys(one.fault for one in outcomes)
    run = recorder.open(
        "chaos",
        {
            "backends": ", ".join(backends),
            "faults": ", ".join(faults),
            "epochs": str(experiment.epochs),
            "workers": str(experiment.workers),
            "master": experiment.spark.master,
        },
        {"code.commit": provenance.code_commit()},
    )
    bad = [f"{one.backend}, {one.fault}: {one.verdict}" for one in outcomes if one.bad]
    status = FAILED if bad else FINISHED
    try:
        counts = Counter(str(one.verdict).replace(" ", "_") for one in outcomes)
        recorder.metrics(run, {f"chaos.{name}": float(count) for name, count in counts.items()})
        with TemporaryDirectory(prefix="sparkdl-chaos-") as name:
            for file in (MARKDOWN, SPREADSHEET):
                copy2(folder / file, Path(name) / file)
            recorder.artifacts(run, Path(name))
    except BaseException:
        status = FAILED
        raise
    finally:
        recorder.close(run, status, "; ".join(bad))
    return run
