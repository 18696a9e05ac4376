"""Entries that are read from an MLflow store: names of models, versions, aliases and runs."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Version:
    """Version of a registered model."""

    name: str
    number: int
    #: Run that recorded the model; empty if it is unknown.
    run_id: str
    #: Address of the model's artifacts.
    address: str
    #: Description of the version or, if it has none, of the registered model.
    description: str = ""


@dataclass(frozen=True)
class RecordedRun:
    """Run with its artifacts."""

    run_id: str
    name: str
    #: Address of the run's artifacts.
    address: str


class ModelStore(Protocol):
    """Read access to an MLflow store."""

    @property
    def uri(self) -> str:
        """Address of the store, as given by the user."""

    def names(self) -> list[str]:
        """Return the names of all registered models, sorted."""

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, the newest last; empty if there is no such model."""

    def aliases(self, name: str) -> dict[str, int]:
        """Return the number of the version of each alias of a model."""

    def versions_of_run(self, run_id: str) -> list[Version]:
        """Return the versions that a run has recorded."""

    def runs(self, beginning: str) -> list[RecordedRun]:
        """Return the runs whose id has this beginning, without deleted ones."""
