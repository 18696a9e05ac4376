"""MLflow stores that are read through MLflow: servers, other databases and older files."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from data.store_address import absolute_uri, described, prepare_mlflow
from serving.errors import ServingError
from serving.stores.base import RecordedRun, Version

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow's error codes for a name, a version or a run that does not exist.
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
#: Number of entries that are requested at once: MLflow's limit.
_PAGE = 1000
#: Number of hexadecimal digits of a run's id.
_DIGITS = 32

_Result = TypeVar("_Result")


def _in_one_line(method: Callable[..., _Result]) -> Callable[..., _Result]:
    """Convert MLflow's errors to a `ServingError`."""

    @wraps(method)
    def call(self: "MlflowStore", *values: Any) -> _Result:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return method(self, *values)
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if "out-of-date database schema" in first:
                first = (
                    "it was made by another version of MLflow; 'sparkdl-bench run' and "
                    "'sparkdl-bench compare' migrate it"
                )
            raise ServingError(f"{described(self.uri)} cannot be read: {first}") from error

    return call


class MlflowStore:
    """Store that is read through MLflow's client."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        prepare_mlflow()
        self._client = self._open()

    @_in_one_line
    def _open(self) -> "MlflowClient":
        from mlflow.tracking.client import MlflowClient

        address = absolute_uri(self.uri)
        return MlflowClient(tracking_uri=address, registry_uri=address)

    @_in_one_line
    def names(self) -> list[str]:
        """Return the names of all registered models, sorted."""
        return sorted(str(model.name) for model in _all(self._client.search_registered_models))

    @_in_one_line
    def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, the newest last; empty if there is no such model."""
        return self._versions(f"name = {_quoted(name)}")

    @_in_one_line
    def aliases(self, name: str) -> dict[str, int]:
        """Return the number of the version of each alias of a model."""
        found = _known(self._client.get_registered_model, name)
        pairs = {} if found is None else found.aliases
        return {alias: int(version) for alias, version in sorted(pairs.items())}

    @_in_one_line
    def versions_of_run(self, run_id: str) -> list[Version]:
        """Return the versions that a run has recorded."""
        return self._versions(f"run_id = {_quoted(run_id)}")

    @_in_one_line
    def runs(self, beginning: str) -> list[RecordedRun]:
        """Return the runs whose id has this beginning, without deleted ones."""
        if len(beginning) == _DIGITS:
            one = _known(self._client.get_run, beginning)
            found = [] if one is None or one.info.lifecycle_stage != "active" else [one]
        else:
            places = [place.experiment_id for place in _all(self._client.search_experiments)]
            condition = f"attributes.run_id LIKE {_quoted(f'{beginning}%')}"
            found = [*self._client.search_runs(places, condition, max_results=_PAGE)]
        return [RecordedRun(r.info.run_id, r.info.run_name, r.info.artifact_uri) for r in found]

    def _versions(self, condition: str) -> list[Version]:
        found = [
            version
            for version in _all(self._client.search_model_versions, condition)
            if version.status == "READY"
        ]
        return [
            Version(
                version.name,
                int(version.version),
                version.run_id or "",
                self._client.get_model_version_download_uri(version.name, version.version),
                version.description or self._description(version.name),
            )
            for version in sorted(found, key=lambda version: int(version.version))
        ]

    def _description(self, name: str) -> str:
        return self._client.get_registered_model(name).description or ""


def _all(search: Callable[..., Any], condition: str | None = None) -> list[Any]:
    """Return all pages of a search."""
    found: list[Any] = []
    token = None
    while True:
        page = search(filter_string=condition, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _known(get: Callable[[str], _Result], name: str) -> _Result | None:
    """Return the result of ``get``, or None if the store does not have ``name``."""
    from mlflow.exceptions import MlflowException

    try:
        return get(name)
    except MlflowException as error:
        if error.error_code in _UNKNOWN:
            return None
        raise


def _quoted(text: str) -> str:
    quote = '"' if "'" in text else "'"
    return f"{quote}{text}{quote}"
