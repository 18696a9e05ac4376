"""The end of a run: its files become artifacts, and what is known of it a pending run."""

import shutil
from pathlib import Path

from data.prepared import PreparedData
from data.store_address import absolute_uri
from experiments.config import RunPlan
from experiments.records import FINISHED
from experiments.resources.monitor import SERIES, write_series
from experiments.runs.model_card import card_of
from experiments.runs.outcome import Outcome
from experiments.runs.saving import Engines
from experiments.runs.task import PREDICTIONS, VALIDATION_PREDICTIONS, Result
from experiments.runs.training_images import pixels_of, ranges, write_digests
from experiments.tracking.model import MODEL, data_entry, save_model
from experiments.tracking.pending_run import PendingRun
from experiments.tracking.recorder import RunStart, now_ms
from experiments.tracking.registration import model_name
from models.card import NETWORK
from models.card_text import CARD_TEXT, render

#: Metrics by epoch, and their names in :class:`backends.Epoch`.
_BY_EPOCH = {
    "train.loss": "loss",
    "validation.loss": "validation_loss",
    "train.epoch_s": "seconds",
}
#: Files of the run's folder that every record keeps.
_KEPT = ("worker.log", PREDICTIONS, VALIDATION_PREDICTIONS)


def result_of(outcome: Outcome) -> Result:
    """Return the answer of the worker process, or the epochs that it reported before it ended."""
    return outcome.result or Result(status="failed", epochs=outcome.epochs)


def closing_tags(outcome: Outcome) -> dict[str, str]:
    """Return the tags that are known at the end of a run."""
    return {
        **outcome.tags,
        "initial_weights.checksum": result_of(outcome).initial_weights_checksum or "none",
        "notes": "\n".join(outcome.notes),
    }


def gather(
    plan: RunPlan,
    data: PreparedData,
    outcome: Outcome,
    folder: Path,
    artifacts: Path,
    run_id: str = "",
) -> None:
    """Copy the files of the run's ``folder`` that the record keeps to ``artifacts``.

    The trained network is kept if the run has finished and was scored on the test images: trials
    of a search leave none. ``run_id`` is the run's id in the record, if it is known already.
    """
    (artifacts / "plan.json").write_text(plan.model_dump_json(indent=2))
    (artifacts / "split.json").write_text(data.manifest.to_json())
    for name in _KEPT:
        if (folder / name).exists():
            shutil.copy2(folder / name, artifacts / name)
    write_series(outcome.samples, artifacts / SERIES)
    if traceback := result_of(outcome).traceback:
        (artifacts / "traceback.txt").write_text(traceback)
    keeps_model = outcome.status == FINISHED and plan.evaluation_split == "test"
    if keeps_model and (folder / NETWORK).exists():
        shutil.copy2(folder / NETWORK, artifacts / NETWORK)
        images = pixels_of(data, plan.experiment)
        if images is not None:
            write_digests(images, folder)
        card = card_of(
            plan,
            data,
            outcome,
            Engines.read(folder),
            run_id=run_id,
            ranges=ranges(images) if images is not None else {},
        )
        save_model(folder, card, artifacts / MODEL)
        (artifacts / CARD_TEXT).write_text(render(card), encoding="utf-8")


def pending_run(
    plan: RunPlan,
    data: PreparedData,
    outcome: Outcome,
    artifacts: Path,
    *,
    uri: str,
    run_id: str,
    start: RunStart | None,
) -> PendingRun:
    """Return the end of a run, ready to be sent.

    Parameters
    ----------
    artifacts
        Folder of :func:`gather`.
    uri
        Address of the record.
    run_id
        Id of the run in the record; empty where it does not exist yet.
    start
        The run's start, where ``run_id`` is empty.
    """
    epochs = result_of(outcome).epochs
    has_model = (artifacts / MODEL).exists()
    return PendingRun(
        tracking_uri=absolute_uri(uri),
        run_id=run_id,
        start=start,
        status=outcome.status,
        reason=outcome.reason,
        metrics=outcome.metrics,
        steps={
            name: {epoch["number"]: epoch[key] for epoch in epochs if epoch[key] is not None}
            for name, key in _BY_EPOCH.items()
        },
        tags=closing_tags(outcome),
        data=data_entry(data, plan.evaluation_split),
        model_name=model_name(plan.experiment.name, plan.backend) if has_model else None,
        class_names=data.class_names,
        model=MODEL,
        ended_ms=now_ms(),
    )
