"""Local folder for records, from the end of each run until they have been sent to the server."""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from data import own_folders
from data.store_address import absolute_uri, sqlite_path, sqlite_uri
from experiments.errors import ExperimentError
from experiments.tracking.outage import ServerAwayError, patiently
from experiments.tracking.pending_run import PendingRun, send
from experiments.tracking.recorder import Recorder, check_reachable, now_ms

#: Folder for pending runs, below the folder of prepared data.
OUTBOX = "outbox"
_CONTENT = "parcel.json"
_ARTIFACTS = "artifacts"
_log = logging.getLogger(__name__)


def deliver(
    pending: PendingRun,
    artifacts: Path,
    recorder: Recorder,
    outbox: Path,
    on_wait: Callable[[str], None] = lambda _: None,
    patience: float | None = None,
) -> str:
    """Send ``pending`` with retries, and keep it in ``outbox`` if the server stays unreachable.

    The pending run is written to ``outbox`` before it is sent, so that it is not lost if this
    process is interrupted or killed.

    Parameters
    ----------
    pending
        Run to be sent.
    artifacts
        Folder with the run's artifacts, which is moved.
    recorder
        Recorder of the run's store.
    outbox
        Folder for pending runs.
    on_wait
        Called with messages about retries and about the registered model.
    patience
        Seconds for which an unreachable server is retried; None is the default of
        :func:`~experiments.tracking.outage.patiently`.

    Returns
    -------
    str
        Empty if the run was sent, otherwise a sentence that states where the record is kept and
        how to send it.

    Raises
    ------
    ExperimentError
        If the server answers but rejects the record, which then remains in ``outbox``.
    """
    try:
        place = _persist(pending, artifacts, outbox)
    except OSError as error:  # the record can still be sent if, for example, the local disk is full
        note = patiently(
            lambda: send(pending, artifacts, recorder), pending.tracking_uri, on_wait, patience
        )
        _report(note, on_wait)
        _log.warning("no copy of the record could be kept in %s: %s", outbox, error)
        return ""
    with _held(place):
        try:
            note = patiently(
                lambda: send(pending, place / _ARTIFACTS, recorder),
                pending.tracking_uri,
                on_wait,
                patience,
            )
        except ServerAwayError as away:
            return (
                f"{away}: the record is kept in {place} and will be sent with the next run or by "
                "'sparkdl-bench sync'."
            )
        except Exception as error:
            raise ExperimentError(
                f"{type(error).__name__}: {error}; everything is kept in {place}: fix the "
                "cause, then run 'sparkdl-bench sync'"
            ) from error
        shutil.rmtree(place, ignore_errors=True)
    _report(note, on_wait)
    return ""


def _report(note: str, on_wait: Callable[[str], None]) -> None:
    if note:
        on_wait(note)


def close_run(
    recorder: Recorder,
    run_id: str,
    status: str,
    reason: str,
    outbox: Path,
    on_wait: Callable[[str], None],
) -> None:
    """End a run that has nothing to record except its status; see :func:`deliver`."""
    pending = PendingRun(
        tracking_uri=absolute_uri(recorder.uri),
        run_id=run_id,
        status=status,
        reason=reason,
        ended_ms=now_ms(),
    )
    if waits := deliver(pending, outbox / "nothing", recorder, outbox, on_wait):
        on_wait(waits)


def waiting(outbox: Path) -> list[tuple[PendingRun, Path]]:
    """Return the runs in ``outbox`` with their folders, the oldest first.

    A run that cannot be read is skipped with a warning.
    """
    found = []
    for path in _contents(outbox):
        try:
            found.append((PendingRun.model_validate_json(path.read_text()), path.parent))
        except FileNotFoundError:  # sent by another process in the meantime
            continue
        except OSError as error:
            _log.warning("%s cannot be read: %s", path, error.strerror)
        except ValidationError as error:
            _log.warning("%s cannot be read: %s", path, error.errors()[0]["msg"])
    return sorted(found, key=lambda one: one[0].ended_ms)


def count(outbox: Path) -> int:
    """Return the number of runs in ``outbox``, including those that cannot be read."""
    return len([*_contents(outbox)])


def send_waiting(outbox: Path) -> list[str]:
    """Send the runs in ``outbox``; return the names of the folders of those that were sent.

    A run that cannot be sent remains in ``outbox``, with a warning. Runs that another process is
    sending are skipped.
    """
    sent = []
    for pending, folder in waiting(outbox):
        with _held(folder) as held:
            if not held:
                continue
            try:
                uri = _store_of(pending, folder)
                check_reachable(uri)
                send(pending, folder / _ARTIFACTS, _recorder(pending, uri))
            except Exception as error:  # one failure must not prevent the others from being sent
                _log.warning("the record in %s was not sent: %s", folder, error)
                continue
            shutil.rmtree(folder, ignore_errors=True)
        sent.append(folder.name)
    return sent


def _contents(outbox: Path) -> Iterator[Path]:
    return outbox.glob(f"[!.]*/{_CONTENT}")


@contextmanager
def _held(place: Path) -> Iterator[bool]:
    """Lock the pending run in ``place``; yield False if another process holds or has sent it."""
    try:
        handle = (place / _CONTENT).open()
    except FileNotFoundError:
        yield False
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield (place / _CONTENT).exists()


def _store_of(pending: PendingRun, folder: Path) -> str:
    """Return the address of the store to which the pending run in ``folder`` is sent.

    Raises
    ------
    ExperimentError
        If its database no longer exists: a new one would not contain its run.
    """
    path = sqlite_path(pending.tracking_uri)
    if path is None:
        return pending.tracking_uri
    if pending.tracking_uri != absolute_uri(pending.tracking_uri):
        # Version 0.1.0 wrote a path relative to the working folder, usually the parent of --work.
        path = (
            folder.parent.parent.parent / pending.tracking_uri.removeprefix("sqlite:///")
        ).resolve()
    moved = (folder / pending.database).resolve() if pending.database else path
    for place in (path, moved):
        if place.is_file():
            return sqlite_uri(place)
    raise ExperimentError(
        f"its database {path} no longer exists: restore it, set tracking_uri in "
        f"{folder / _CONTENT} to its new path, or delete {folder}"
    )


def _recorder(pending: PendingRun, uri: str) -> Recorder:
    start = pending.start
    if pending.run_id or start is None:
        return Recorder(uri)
    return Recorder(uri, start.experiment, start.artifacts)


def _persist(pending: PendingRun, artifacts: Path, outbox: Path) -> Path:
    """Write the pending run to ``outbox`` atomically, and return its folder there."""
    name = pending.run_id or (pending.start.identity if pending.start else "")
    place = outbox / name
    unfinished = own_folders.unfinished(outbox / f".{name}")
    for folder in (place, unfinished):
        shutil.rmtree(folder, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if database := sqlite_path(pending.tracking_uri):
        relative = os.path.relpath(database.resolve(), place.resolve())
        pending = pending.model_copy(update={"database": relative})
    with own_folders.held(unfinished):
        with (unfinished / _CONTENT).open("w") as content:
            json.dump(pending.model_dump(), content, indent=1)
            content.flush()
            os.fsync(content.fileno())
        if artifacts.is_dir():
            shutil.move(artifacts, unfinished / _ARTIFACTS)
        unfinished.rename(place)
    return place
