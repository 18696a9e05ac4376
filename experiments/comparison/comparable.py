"""Checks of whether the scores and the seconds of two runs are comparable."""

from collections.abc import Sequence

from experiments.comparison.runs import BEFORE, ComparedRun
from experiments.units import plural

#: Prefixes of the parameters that determine what is learned and how it is scored, except those of a
#: single backend.
_SETTINGS = (
    "model.",
    "optimizer.",
    "positive_class",
    "epochs",
    "batch_size",
    "imbalance",
    "threshold",
    "calibration",
)
_NO_WEIGHTS = "none"


def reference_of(runs: Sequence[ComparedRun], baseline: str) -> ComparedRun:
    """Return the run with which the others must be comparable.

    It is the newest finished run of ``baseline``. Runs split by patient or lesion take precedence
    over runs split by image.
    """
    finished = [run for run in runs if run.finished] or list(runs)
    return max(
        finished,
        key=lambda run: (
            run.unit != "image",
            run.record.backend == baseline,
            run.started_ms,
        ),
    )


def obstacles(run: ComparedRun, reference: ComparedRun, runs: Sequence[ComparedRun]) -> list[str]:
    """Return why the scores of ``run`` cannot be compared with those of ``reference``."""
    own, other = run.record.tags, reference.record.tags
    found = []
    if run.unit != reference.unit:
        found.append(f"split by {run.unit} instead of by {reference.unit}")
    elif own.get("split.checksum") != other.get("split.checksum"):
        found.append(f"different split of the {plural(run.unit)}")
    elif own.get("data.fingerprint") != other.get("data.fingerprint"):
        # Only checked for equal splits: with another split, the prepared data differ anyway.
        found.append("different images")
    names = {name for name in {*run.params, *reference.params} if name.startswith(_SETTINGS)}
    pairs = {name: (_value(run, name), _value(reference, name)) for name in sorted(names)}
    found += [
        f"{name} {value} instead of {wanted}"
        for name, (value, wanted) in pairs.items()
        if value != wanted
    ]
    if not found and (backend := _other_weights(run, reference, runs)):
        found.append(f"initial weights differ from those of {backend} with the same seed")
    return found


def speed_obstacles(run: ComparedRun, reference: ComparedRun) -> list[str]:
    """Return why the seconds of ``run`` cannot be compared with those of ``reference``."""
    found = []
    for name, what in (("workers", "cores"), ("platform", "platform")):
        own, other = run.params.get(name, "here"), reference.params.get(name, "here")
        if own != other:
            found.append(f"{what} {own} instead of {other}")
    # Records of earlier versions have no processor.
    cpu, wanted = (one.record.tags.get("machine.cpu") for one in (run, reference))
    if cpu and wanted and cpu != wanted:
        found.append(f"processor {cpu} instead of {wanted}")
    return found


def _value(run: ComparedRun, name: str) -> str:
    return run.params.get(name, BEFORE.get(name, "unset"))


def _other_weights(
    run: ComparedRun, reference: ComparedRun, runs: Sequence[ComparedRun]
) -> str | None:
    """Return the reference's backend if its initial weights differ from those of ``run``."""
    known = {
        other.record.backend: _weights(other)
        for other in runs
        if other.record.seed == run.record.seed and _weights(other) != _NO_WEIGHTS
    }
    name = reference.record.backend
    if _weights(run) != _NO_WEIGHTS and name in known and known[name] != _weights(run):
        return name
    return None


def _weights(run: ComparedRun) -> str:
    return run.record.tags.get("initial_weights.checksum", _NO_WEIGHTS)
