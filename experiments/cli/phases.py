"""Descriptions of the phases of a run for people."""

from data.config import Unit
from experiments.units import plural

_PHASES = {
    "load": "opening the data",
    "spark_start": "starting Spark and importing the framework",
    "fit": "training",
    "save_model": "saving the network",
}
_PREDICTED = {"predict": "test", "predict_validation": "validation"}


def described(phase: str, unit: Unit) -> str:
    """Return a description of ``phase``, such as ``predicting the test patients``.

    Parameters
    ----------
    phase
        Name of a phase in an event of the worker process.
    unit
        What the images are grouped by.
    """
    if phase in _PREDICTED:
        return f"predicting the {_PREDICTED[phase]} {plural(unit)}"
    return _PHASES.get(phase, phase)
