"""Worker of synchronous all-reduce with PyTorch, independent of the framework that starts it.

The Keras network runs on Keras's torch backend. ``DistributedDataParallel`` averages the gradients
of the workers while they are computed, so each worker uses the mean loss of its own images. Neither
``Model.fit`` of the wrapped network nor Keras's own distribution would synchronize the workers.

The processes communicate through Gloo, or through NCCL with GPUs, neither of which requires a
password. They use the network interface through which the worker reaches the driver.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import psutil

from backends.all_reduce.channel import Address, WorkerEnd
from backends.all_reduce.job import Source, WorkerJob
from backends.all_reduce.keras_replica import KerasReplica
from backends.all_reduce.replica import COLLECTIVE_LIMIT, PeerError
from backends.connections import own_address
from models import loss, optimizer

if TYPE_CHECKING:
    import torch


def train(job: WorkerJob, source: Callable[[WorkerJob, int], Source]) -> None:
    """Train as the worker whose rank torchrun has set in the environment.

    Parameters
    ----------
    job
        Job, which is the same for all workers.
    source
        Function that is called once with ``job`` and the rank of this worker, and returns the
        source of the batches of this worker.
    """
    rank = int(os.environ["RANK"])
    with WorkerEnd(job.address, rank) as driver:
        import torch.distributed

        use_interface_to(job.address)
        _join(job.task.workers)
        try:
            TorchReplica(job, rank, driver, source(job, rank)).run()
        except RuntimeError as error:
            if not _is_of_a_peer(error):
                raise
            raise PeerError(f"a collective operation failed: {error}") from error
        torch.distributed.destroy_process_group()


class TorchReplica(KerasReplica):
    """Copy of the network in a process of ``DistributedDataParallel``."""

    def __init__(self, job: WorkerJob, rank: int, driver: WorkerEnd, source: Source) -> None:
        import keras
        import torch

        from backends.torch_network import TorchNetwork

        super().__init__(job, rank, driver, source)
        keras.utils.set_random_seed(job.task.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.device = _device()
        self.model = job.task.build_model()
        # Broadcasts the weights of the chief. The moving averages of batch normalization are
        # parameters without gradient in Keras, which it does not synchronize afterwards.
        self.network = torch.nn.parallel.DistributedDataParallel(
            TorchNetwork(self.model), broadcast_buffers=False, gradient_as_bucket_view=True
        )
        self.optimizer = optimizer(job.task.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self.loss = keras.losses.get(loss(job.task.loss_weights))
        if isinstance(self.loss, keras.losses.Loss):
            self.loss.reduction = None  # the sum is reported

    def batches(self, epoch: int) -> Iterator[tuple["torch.Tensor", "torch.Tensor"]]:
        """Yield the batches of one epoch; the next one is read during a step."""
        remaining = self.source(epoch)
        with ThreadPoolExecutor(1, "batches") as pool:
            following = pool.submit(next, remaining, None)
            while (batch := following.result()) is not None:
                following = pool.submit(next, remaining, None)
                yield self._tensor(batch[0]), self._tensor(batch[1])

    def step(self, pixels: "torch.Tensor", labels: "torch.Tensor") -> float:
        """Train on a batch and return the sum of the losses of its images, in nats."""
        import torch

        self.network.train()
        self.network.zero_grad()
        total = self.loss(labels, self.network(pixels)).sum()
        (total / self.task.worker_batch_size).backward()
        variables = self.model.trainable_variables
        with torch.no_grad():
            self.optimizer.apply([variable.value.grad for variable in variables], variables)
        return float(total)

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities, shape (n, classes), of pixels (n, h, w, c)."""
        import torch

        module = self.network.module  # without the hooks, which are for training
        module.eval()
        with torch.no_grad():
            return module(self._tensor(pixels)).cpu().numpy()

    def sum_over_workers(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sum of each array over all workers."""
        import torch

        tensors = [self._tensor(np.array(value)) for value in values]
        # One operation for all arrays, because each costs a round trip.
        whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(whole)
        parts = whole.cpu().split([tensor.numel() for tensor in tensors])
        return [
            part.reshape(tensor.shape).numpy() for part, tensor in zip(parts, tensors, strict=True)
        ]

    def _tensor(self, values: np.ndarray) -> "torch.Tensor":
        """Return an array as a tensor on the device of this worker."""
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(values))
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


def use_interface_to(address: Address) -> None:
    """Make Gloo and NCCL use the network interface through which the driver is reached.

    By default they use the one of the host name, which other machines may not be able to reach.
    """
    own = own_address(address.host, address.port)
    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address == own for found in addresses):
            os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = name
            return


def _join(workers: int) -> None:
    """Connect to the other workers; the agent of torchrun holds the addresses."""
    import torch
    import torch.distributed

    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group(
        "nccl" if gpus else "gloo", timeout=timedelta(seconds=COLLECTIVE_LIMIT)
    )
    found = torch.distributed.get_world_size()
    if found != workers:
        raise RuntimeError(f"{found} workers are connected, not {workers}")


def _device() -> "torch.device":
    import torch

    gpus = torch.cuda.is_available()
    return torch.device("cuda", torch.cuda.current_device()) if gpus else torch.device("cpu")


def _is_of_a_peer(error: RuntimeError) -> bool:
    """Return whether a collective operation, and not the computation, has failed."""
    import torch.distributed

    if isinstance(error, torch.distributed.DistError):
        return True
    return "gloo" in str(error).lower() or "nccl" in str(error).lower()
