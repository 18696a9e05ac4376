"""Worker of synchronous all-reduce with Caffe.

Caffe's solver computes the gradients and changes the weights. In between, the gradients are
averaged over the workers, as CaffeOnSpark does it.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from backends.all_reduce.channel import WorkerEnd
from backends.all_reduce.job import Source, WorkerJob, shard_source
from backends.all_reduce.peers import Peers, connected
from backends.all_reduce.replica import Replica
from backends.caffe_on_spark.engine import Classifier, Solver, caffe
from backends.caffe_on_spark.network import CaffeNetwork


def train(
    job: WorkerJob,
    rank: int,
    network: CaffeNetwork,
    weights: Sequence[np.ndarray],
    gather: Callable[[str], Sequence[str]],
) -> None:
    """Train as worker ``rank``.

    Parameters
    ----------
    job
        Job, which is the same for all workers.
    rank
        Number of this worker; 0 is the chief.
    network
        Translated network.
    weights
        Initial weights in the order of ``keras.Model.get_weights()``.
    gather
        Function that takes a text and returns those of all workers in the order of ranks.
    """
    with WorkerEnd(job.address, rank) as driver, connected(rank, job.address, gather) as peers:
        replica = CaffeReplica(job, rank, driver, shard_source(job, rank), network, peers)
        replica.set_weights(weights)
        replica.run()


class CaffeReplica(Replica):
    """Copy of the network in a solver of Caffe."""

    def __init__(
        self,
        job: WorkerJob,
        rank: int,
        driver: WorkerEnd,
        source: Source,
        network: CaffeNetwork,
        peers: Peers,
    ) -> None:
        super().__init__(job, rank, driver, source)
        self._peers = peers
        self._solver = Solver(network, job.task.optimizer, self._average)
        self._classifier = Classifier(network, self._solver.net)

    def batches(self, epoch: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Return the batches of one epoch.

        The generator of dropout starts anew in each epoch, because Caffe cannot save its state. A
        resumed training thus draws the same numbers as one that was not interrupted.
        """
        sequence = np.random.SeedSequence((self.task.seed, self.rank, epoch))
        caffe().set_random_seed(int(sequence.generate_state(1)[0]))
        return self.source(epoch)

    def step(self, pixels: np.ndarray, labels: np.ndarray) -> float:
        """Train on a batch and return the sum of the losses of its images, in nats."""
        return self._solver.step(pixels, labels) * self.task.worker_batch_size

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Return the class probabilities, shape (n, classes), of pixels (n, h, w, c)."""
        return self._classifier(pixels)

    def sum_over_workers(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sum of each array over all workers."""
        whole = np.concatenate([np.asarray(value, np.float32).reshape(-1) for value in values])
        self._peers.sum(whole)
        parts = np.split(whole, np.cumsum([value.size for value in values])[:-1])
        return [part.reshape(value.shape) for part, value in zip(parts, values, strict=True)]

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights of the solver's net."""
        return self._solver.weights.read()

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Set the weights of the solver's net."""
        self._solver.weights.write(values)

    def optimizer_state(self) -> list[np.ndarray]:
        """Return the state of the solver; only the chief's is kept."""
        return self._solver.state()

    def set_optimizer_state(self, values: Sequence[np.ndarray]) -> None:
        """Set the state of the solver."""
        self._solver.set_state(values)

    def _average(self, gradients: list[np.ndarray]) -> None:
        """Replace the gradients of this worker by their means over all workers."""
        if self.task.workers == 1:
            return
        for gradient, total in zip(gradients, self.sum_over_workers(gradients), strict=True):
            np.divide(total, self.task.workers, out=gradient)
