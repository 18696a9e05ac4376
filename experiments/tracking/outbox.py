"""Where records wait on this disk: from the end of each run until its server has them."""

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
from experiments.errors import ExperimentError
from experiments.store_address import absolute_uri, sqlite_path, sqlite_uri
from experiments.tracking.outage import ServerAwayError, patiently
from experiments.tracking.pending_run import PendingRun, send
from experiments.tracking.recorder import Recorder, check_reachable, now_ms

#: Folder for runs that wait, below the folder of prepared data.
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
    """Send ``pending``; wait for a server that is away, and leave the pending run if it stays away.

    The pending is in ``outbox`` before it is sent, so that whoever is interrupted or killed while
    waiting loses nothing. Takes what is in ``artifacts``.

    Returns
    -------
    str
        Empty, or a sentence that says where the record waits and how it gets to the server.

    Raises
    ------
    ExperimentError
        When the server answers and does not take the record. The pending is in ``outbox`` then.
    """
    try:
        place = _persist(pending, artifacts, outbox)
    except OSError as error:  # a full disk here does not keep a server from taking it
        note = patiently(
            lambda: send(pending, artifacts, recorder), pending.tracking_uri, on_wait, patience
        )
        _tell(note, on_wait)
        _log.warning("nothing could be kept in %s: %s", outbox, error)
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
                f"{away}: the record waits in {place} and is sent with the next run, or by "
                "'python -m experiments send'."
            )
        except Exception as error:
            raise ExperimentError(
                f"{type(error).__name__}: {error}; everything is kept in {place}: repair the "
                "cause, then 'python -m experiments send'"
            ) from error
        shutil.rmtree(place, ignore_errors=True)
    _tell(note, on_wait)
    return ""


def _tell(note: str, on_wait: Callable[[str], None]) -> None:
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
    """End a run that has nothing but its status to tell, as :func:`deliver` does."""
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

    One that cannot be read stays where it is, with a warning.
    """
    found = []
    for path in _contents(outbox):
        try:
            found.append((PendingRun.model_validate_json(path.read_text()), path.parent))
        except FileNotFoundError:  # sent by another process meanwhile
            continue
        except OSError as error:
            _log.warning("%s cannot be read: %s", path, error.strerror)
        except ValidationError as error:
            _log.warning("%s cannot be read: %s", path, error.errors()[0]["msg"])
    return sorted(found, key=lambda one: one[0].ended_ms)


def count(outbox: Path) -> int:
    """Return how many runs are in ``outbox``, those that cannot be read included."""
    return len([*_contents(outbox)])


def send_waiting(outbox: Path) -> list[str]:
    """Send what waits in ``outbox``; return the names of the folders whose pending was sent.

    What cannot be sent stays, with a warning; what another process is sending is left to it.
    """
    sent = []
    for pending, folder in waiting(outbox):
        with _held(folder) as ours:
            if not ours:
                continue
            try:
                uri = _store_of(pending, folder)
                check_reachable(uri)
                send(pending, folder / _ARTIFACTS, _recorder(pending, uri))
            except Exception as error:  # one that fails must not hold up the others
                _log.warning("the record in %s was not sent: %s", folder, error)
                continue
            shutil.rmtree(folder, ignore_errors=True)
        sent.append(folder.name)
    return sent


def _contents(outbox: Path) -> Iterator[Path]:
    return outbox.glob(f"[!.]*/{_CONTENT}")


@contextmanager
def _held(place: Path) -> Iterator[bool]:
    """Keep other processes from sending the pending run of ``place``; False where one is at it."""
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
    """Return where the pending run that waits in ``folder`` is sent.

    Raises
    ------
    ExperimentError
        When its database is there no more: a new one would not have its run.
    """
    path = sqlite_path(pending.tracking_uri)
    if path is None:
        return pending.tracking_uri
    if pending.tracking_uri != absolute_uri(pending.tracking_uri):
        # As version 0.1.0 wrote it: below the folder of the call, as a rule that of --work.
        path = (
            folder.parent.parent.parent / pending.tracking_uri.removeprefix("sqlite:///")
        ).resolve()
    moved = (folder / pending.database).resolve() if pending.database else path
    for place in (path, moved):
        if place.is_file():
            return sqlite_uri(place)
    raise ExperimentError(
        f"its database {path} is there no more: bring it back, write its new place to tracking_uri "
        f"in {folder / _CONTENT}, or delete {folder}"
    )


def _recorder(pending: PendingRun, uri: str) -> Recorder:
    start = pending.start
    if pending.run_id or start is None:
        return Recorder(uri)
    return Recorder(uri, start.experiment, start.artifacts)


def _persist(pending: PendingRun, artifacts: Path, outbox: Path) -> Path:
    """Keep the pending run in ``outbox``, whole or not at all."""
    name = pending.run_id or (pending.start.identity if pending.start else "")
    place = outbox / name
    unfinished = own_folders.unfinished(outbox / f".{name}")
    for folder in (place, unfinished):
        shutil.rmtree(folder, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if database := sqlite_path(pending.tracking_uri):
        beside = os.path.relpath(database.resolve(), place.resolve())
        pending = pending.model_copy(update={"database": beside})
    with own_folders.held(unfinished):
        with (unfinished / _CONTENT).open("w") as content:
            json.dump(pending.model_dump(), content, indent=1)
            content.flush()
            os.fsync(content.fileno())
        if artifacts.is_dir():
            shutil.move(artifacts, unfinished / _ARTIFACTS)
        unfinished.rename(place)
    return place
