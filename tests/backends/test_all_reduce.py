"""Connection of a worker to the driver, and the driver's handling of messages; without Spark."""

import json
import multiprocessing
import os
import socket
import time
from multiprocessing.connection import Client
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from backends import connections
from backends.all_reduce import driver
from backends.all_reduce.channel import Address, DriverEnd, Message, WorkerEnd
from backends.all_reduce.job import WorkerJob
from backends.all_reduce.network import private_network
from backends.base import RunContext, TrainingTask
from backends.checkpoints import CheckpointFolder
from backends.epoch import Epoch
from backends.errors import BackendError
from data.prepared import PreparedData
from models import ModelConfig, OptimizerConfig

LOOPBACK = "127.0.0.1"
fork = multiprocessing.get_context("fork")


def task(prepared: PreparedData, **values: Any) -> TrainingTask:
    standard: dict[str, Any] = {
        "data": prepared,
        "model": ModelConfig(),
        "optimizer": OptimizerConfig(name="sgd", learning_rate=0.01),
        "epochs": 1,
        "global_batch_size": 16,
        "workers": 2,
        "seed": 0,
    }
    return TrainingTask(**{**standard, **values})


def everything(channel: DriverEnd, until: str) -> list[Message]:
    received: list[Message] = []
    deadline = time.monotonic() + 20
    while until not in [message.kind for message in received]:
        assert time.monotonic() < deadline, f"'{until}' was not received, only {received}"
        received += channel.messages()
    return received


@pytest.fixture
def channel():
    with DriverEnd(LOOPBACK, LOOPBACK, workers=2) as end:
        yield end


def send_weights(address: Address) -> None:
    with WorkerEnd(address, rank=1) as driver:
        driver.send("weights", [np.arange(6, dtype=np.float32).reshape(2, 3)], best_epoch=2)


def fail(address: Address) -> None:
    with WorkerEnd(address, rank=1):
        raise ValueError("the images are upside down")


def die(address: Address) -> None:
    with WorkerEnd(address, rank=1):
        os._exit(9)


def wait_forever(address: Address) -> None:
    with WorkerEnd(address, rank=1):
        time.sleep(600)


def start(target: Any, channel: DriverEnd) -> Any:
    process = fork.Process(target=target, args=(channel.address,), daemon=True)
    process.start()
    return process


def test_weights_arrive_bit_for_bit(channel: DriverEnd) -> None:
    worker = start(send_weights, channel)
    (message,) = [m for m in everything(channel, "done") if m.kind == "weights"]
    assert (message.rank, message.content) == (1, {"best_epoch": 2})
    np.testing.assert_array_equal(message.arrays[0], np.arange(6, dtype=np.float32).reshape(2, 3))
    worker.join(10)
    assert worker.exitcode == 0


def test_exception_arrives_with_its_message_and_traceback(channel: DriverEnd) -> None:
    start(fail, channel)
    error = everything(channel, "error")[-1]
    assert error.content["error"] == "ValueError"
    assert error.content["text"] == "the images are upside down"
    assert "in fail" in error.content["traceback"]


def test_dead_worker_is_detected_immediately(channel: DriverEnd) -> None:
    start(die, channel)
    started = time.monotonic()
    assert everything(channel, "lost")[-1].rank == 1
    assert time.monotonic() - started < 5


def test_worker_ends_when_the_driver_does() -> None:
    with DriverEnd(LOOPBACK, LOOPBACK, workers=1) as end:
        worker = start(wait_forever, end)
        everything(end, "hello")
    worker.join(10)
    assert worker.exitcode == 76


def test_client_without_the_key_is_refused(channel: DriverEnd) -> None:
    with pytest.raises(multiprocessing.AuthenticationError):
        Client((LOOPBACK, channel.address.port), authkey=b"a guess")
    start(send_weights, channel)
    assert {message.rank for message in everything(channel, "done")} == {1}


def test_idle_and_invalid_clients_do_not_block_a_worker(channel: DriverEnd) -> None:
    at = (LOOPBACK, channel.address.port)
    with socket.create_connection(at), socket.create_connection(at) as nonsense:
        nonsense.sendall(b"GET / HTTP/1.1\r\n\r\n")
        start(send_weights, channel)
        assert {message.rank for message in everything(channel, "done")} == {1}


@pytest.mark.slow
def test_idle_client_without_the_key_is_disconnected(
    channel: DriverEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "UNTRUSTED_LIMIT", 1)
    with socket.create_connection((LOOPBACK, channel.address.port), timeout=10) as stranger:
        while stranger.recv(64):  # the challenge
            pass
    worker = start(wait_forever, channel)
    everything(channel, "hello")
    time.sleep(1.5)
    assert not channel.messages(), "an idle worker must stay connected"
    worker.kill()


def test_connections_are_accepted_again_after_a_lack_of_file_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = Event()
    listener = socket.create_server((LOOPBACK, 0))
    refusals = iter([OSError(24, "Too many open files")] * 3)
    real = socket.socket.accept

    def accept(self: socket.socket) -> Any:
        for refusal in refusals:
            raise refusal
        return real(self)

    monkeypatch.setattr(socket.socket, "accept", accept)
    connections.accept_connections(listener, lambda _: answered.set(), "test")
    with socket.create_connection(listener.getsockname()):
        assert answered.wait(10)
    connections.stop_accepting(listener)


@pytest.mark.parametrize(("host", "device"), [(LOOPBACK, b"lo\0"), ("192.0.2.7", b"")])
def test_server_of_tensorflow_is_closed_to_other_machines_on_one_machine(
    host: str, device: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"cluster": {"chief": [f"{LOOPBACK}:1"], "worker": [f"{host}:2"]}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    monkeypatch.setenv("TF_GRPC_DEFAULT_OPTIONS", "")
    with private_network():
        server = socket.create_server(("", 0))
        assert os.environ["TF_GRPC_DEFAULT_OPTIONS"] == "grpc.enable_http_proxy=0"
    with server, socket.create_connection((LOOPBACK, server.getsockname()[1])):
        found = server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    assert found == device


def test_key_is_not_printed(channel: DriverEnd) -> None:
    assert "key" not in repr(channel.address)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "CAUSE_LIMIT", 0.1)


class Script:
    """Stands in for a channel: returns the given messages, one list for each poll."""

    def __init__(self, *polls: list[Message]) -> None:
        self._polls = list(polls)

    def messages(self) -> list[Message]:
        return self._polls.pop(0) if self._polls else []


def sent(rank: int, kind: str, arrays: list[np.ndarray] | None = None, **content: Any) -> Message:
    return Message(rank, kind, content, arrays or [])


def greeting(rank: int) -> list[Message]:
    return [sent(rank, "hello", host=f"host-{rank}")]


def follow(
    prepared: PreparedData,
    *polls: list[Message],
    checkpoints: CheckpointFolder | None = None,
    **values: Any,
) -> Any:
    """Pass the messages of ``polls`` to a follower; return the result and the reported epochs."""
    reported: list[Epoch] = []
    shards = tuple(prepared.patient_shards("train", 2))
    steps = min(shard.rows for shard in shards) // 8
    job = WorkerJob(task(prepared, **values), shards, (), steps, None, Address(LOOPBACK, 1, b"key"))
    context = RunContext(
        spark=None, folder=Path(), on_epoch=reported.append, checkpoints=checkpoints
    )
    follower = driver.Follower(job, context, Script(*polls))  # type: ignore[arg-type]
    follower.follow([])
    return follower.result(shards), reported


def ending(checksums: tuple[str, str] = ("same", "same")) -> list[Message]:
    chief = sent(0, "weights", [np.ones(2, np.float32)], checksum=checksums[0], best_epoch=None)
    other = sent(1, "weights", checksum=checksums[1], best_epoch=None)
    return [chief, other, sent(0, "done"), sent(1, "done")]


def epoch(number: int, images: int = 0) -> Message:
    figures: dict[str, Any] = {
        "loss": 0.5,
        "validation_loss": 0.6,
        "images": images,
        "seconds": 2.0,
    }
    return sent(0, "epoch", number=number, **figures)


def test_epochs_are_reported_and_samples_counted(prepared: PreparedData) -> None:
    images = min(shard.rows for shard in prepared.patient_shards("train", 2)) // 8 * 16
    polls = [greeting(0), greeting(1), [epoch(1, images)], [epoch(2, images)], ending()]
    result, reported = follow(prepared, *polls, epochs=2)
    assert [e.number for e in reported] == [1, 2]
    assert result.epochs == tuple(reported)
    assert result.samples_seen == result.steps * 16 == sum(e.images for e in reported)
    left_out = prepared.rows("train") - reported[0].images
    assert left_out > 0
    assert f"{left_out} of {prepared.rows('train')} training images" in result.notes[0]


def state(rank: int, number: int) -> Message:
    """Return the message of a worker after an epoch: its random state, and weights of the chief."""
    lengths = {f"random.{rank}": 1} | ({"weights": 1} if rank == 0 else {})
    arrays = [np.array(10 * rank + number)] + ([np.array(number)] if rank == 0 else [])
    return sent(rank, "state", arrays, epoch=number, lengths=lengths)


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [0, 1])
def test_states_of_two_epochs_are_not_mixed(
    prepared: PreparedData, tmp_path: Path, ahead: int
) -> None:
    """A busy driver may receive two messages of one worker before the first one of another."""
    behind = 1 - ahead
    early = [epoch(1), epoch(2), state(ahead, 1), state(ahead, 2)]
    polls = [greeting(0), greeting(1), early, [state(behind, 1)]]
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(BackendError, match="died or hung"):
        follow(prepared, *polls, [sent(1, "lost")], epochs=3, checkpoints=folder)
    kept = folder.load()
    assert kept is not None
    assert kept.epoch == kept.weights[0] == 1
    assert {**kept.state} == {"random.0": [np.array(1)], "random.1": [np.array(11)]}
    with pytest.raises(BackendError, match="died or hung"):
        follow(
            prepared, *polls, [state(behind, 2)], [sent(1, "lost")], epochs=3, checkpoints=folder
        )
    kept = folder.load()
    assert kept is not None
    assert kept.epoch == kept.weights[0] == 2
    assert {**kept.state} == {"random.0": [np.array(2)], "random.1": [np.array(12)]}


def test_cause_is_preferred_to_its_consequence(prepared: PreparedData) -> None:
    consequence = sent(0, "error", error="UnavailableError", text="peer is gone", traceback="")
    cause = sent(1, "error", error="ValueError", text="upside down", traceback="line 7")
    with pytest.raises(BackendError, match="worker 1 on host-1: ValueError: upside down") as raised:
        follow(prepared, greeting(0), greeting(1), [consequence], [cause])
    assert raised.value.__notes__ == ["line 7"]


def test_death_is_preferred_to_its_consequence(prepared: PreparedData) -> None:
    consequence = sent(0, "error", error="UnavailableError", text="peer is gone", traceback="")
    message = "worker 1 on host-1 died or hung without reporting an error"
    with pytest.raises(BackendError, match=message):
        follow(prepared, greeting(0), greeting(1), [consequence, sent(1, "lost")])


def test_unreachable_host_is_named_from_the_errors_of_others(prepared: PreparedData) -> None:
    consequence = sent(0, "error", error="UnavailableError", text="peer is gone", traceback="")
    message = "worker 1 on host-1 can no longer be reached .*; worker 0 on host-0: UnavailableError"
    with pytest.raises(BackendError, match=message):
        follow(prepared, greeting(0), greeting(1), [consequence])


def test_workers_with_different_weights_are_an_error(prepared: PreparedData) -> None:
    with pytest.raises(BackendError, match="ended with different weights"):
        follow(prepared, greeting(0), greeting(1), [epoch(1)], ending(("one", "other")))


def test_missing_worker_is_an_error(
    prepared: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "START_LIMIT", 0.1)
    with pytest.raises(BackendError, match="1 of 2 workers started within"):
        follow(prepared, greeting(0), *[[] for _ in range(3)])


def test_silence_is_an_error(prepared: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SILENCE_LIMIT", 0.1)
    with pytest.raises(BackendError, match="no worker has sent a message"):
        follow(prepared, greeting(0), greeting(1))


def test_shard_smaller_than_a_batch_is_refused(prepared: PreparedData) -> None:
    assert driver.unsupported(task(prepared)) is None
    reason = driver.unsupported(task(prepared, global_batch_size=1024))
    assert reason is not None
    assert "fewer than its share of a batch (512)" in reason
