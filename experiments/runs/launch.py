"""Processes of one run: cluster, Spark driver and resource monitors."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from backends import Backend
from data.prepared import PreparedData
from data.process_environment import for_spark
from experiments.config import EMBEDDED, RunPlan
from experiments.own_data.machine_size import check_memory, megabytes
from experiments.processes.private_network import (
    NoPrivateNetworkError,
    PrivateNetwork,
    private_network,
)
from experiments.processes.supervision import supervise
from experiments.resources.energy import EnergyMeter
from experiments.resources.gpu import gpu_sampler
from experiments.resources.monitor import ResourceMonitor
from experiments.runs.isolation import exposure, needs_network
from experiments.runs.task import Job, task_of
from experiments.spark.addresses import driver_address
from experiments.spark.cluster import Cluster, embedded_cluster
from experiments.spark.secret import authentication, driver_environment, write_settings

#: Phases of the worker process that begin when the driver has its executors.
_AFTER_START = ("fit", "predict")
#: Memory of a Worker daemon in MiB beyond the executor's heap; Spark adds a tenth, at least 384.
_EXECUTOR_OVERHEAD_MB = 512


@dataclass
class Launch:
    """Starts, monitors and terminates the processes of a run."""

    plan: RunPlan
    backend: Backend
    data: PreparedData
    folder: Path
    #: Folder for the checkpoint of each epoch; None saves none.
    checkpoints: Path | None = None
    #: Called with each of :attr:`notes` before anything starts.
    on_note: Callable[[str], None] = lambda _: None
    monitor: ResourceMonitor = field(default_factory=lambda: ResourceMonitor(gpu=gpu_sampler()))
    #: Energy meter, if the plan requests one.
    meter: EnergyMeter | None = None
    #: Seconds from the start of the cluster to its end, without the start of the monitors.
    seconds: float = 0.0
    #: Process ids of the driver.
    drivers: list[int] = field(default_factory=list)
    #: Network of the run's processes, ``private`` or ``host``.
    network: str = "host"
    #: Notes for the user on the execution of the run, one sentence each.
    notes: list[str] = field(default_factory=list)
    #: Embedded cluster of the run, once it has started.
    cluster: Cluster | None = None
    #: True once the driver has its executors, False while it waits for them.
    executors_are_up: bool = False
    #: Exit status of the driver; a negative value is the signal that ended it, and None means that
    #: it is not known.
    status: int | None = None

    def run(
        self,
        on_event: Callable[[dict[str, Any]], None] = lambda _: None,
        *,
        on_poll: Callable[[], None] = lambda: None,
        rehearsal: bool = False,
    ) -> None:
        """Run all processes until they have ended.

        Parameters
        ----------
        on_event
            Called with each event of the worker process.
        on_poll
            Called ten times per second. An exception in this function or in ``on_event`` ends the
            processes.
        rehearsal
            True to start Spark and import the framework without training.

        Raises
        ------
        TimeLimitError
            If the processes did not end within the time limit; they have been stopped then.
        """
        workers = self.plan.experiment.workers
        threads = "1" if self.backend.needs_spark else str(workers)
        spark = self.plan.experiment.spark
        # The servers of frameworks on the driver listen on this address, as those of Spark do.
        address = spark.conf.get("spark.driver.host") or driver_address(spark.master)
        environment = {
            **for_spark(address, here=not spark.has_own_executors),
            "TF_NUM_INTRAOP_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        with ExitStack() as stack:
            country = self.plan.experiment.energy.country
            if country and not rehearsal:
                self.meter = stack.enter_context(EnergyMeter(country))
            stack.enter_context(self.monitor)
            # Registered here so that it stops the clock after the cluster and before the meter.
            stack.callback(self._stop_clock, perf_counter())
            network = self._network(stack)
            master = self._cluster(stack, network, environment)
            job = Job(
                plan=self.plan,
                data=self.data.uri,
                master=master,
                rehearsal=rehearsal,
                checkpoints=self.checkpoints and self.checkpoints.absolute(),
            )
            (self.folder / "job.json").write_text(job.model_dump_json())
            self.status = supervise(
                "experiments.runs.worker",
                self.folder,
                environment=environment,
                time_limit=self.plan.experiment.time_limit,
                on_start=self._watch_driver,
                on_event=lambda event: self._receive(event, on_event),
                on_poll=lambda: self._poll(on_poll),
                before_end=self.monitor.sample,
                network=network,
            )

    def _poll(self, on_poll: Callable[[], None]) -> None:
        # Once the executors have started, Spark handles the loss of a worker.
        if self.cluster is not None and not self.executors_are_up:
            self.cluster.check()
        on_poll()

    def _receive(self, event: dict[str, Any], on_event: Callable[[dict[str, Any]], None]) -> None:
        started = event["event"] == "phase" and event["name"] in _AFTER_START
        if started or event["event"] == "end":
            self.executors_are_up = True
        on_event(event)

    def _stop_clock(self, began: float) -> None:
        self.seconds = perf_counter() - began

    def resources(self) -> dict[str, float]:
        """Return the resource use of the processes, by metric name."""
        driver = sum(self.monitor.peak_memory_of(pid) for pid in self.drivers)
        return {
            **self.monitor.metrics(),
            "resources.driver_peak_memory_bytes": float(driver),
            **(self.meter.metrics() if self.meter else {}),
        }

    @property
    def method(self) -> str:
        """Description of how the values of :meth:`resources` were measured."""
        return self.monitor.method + (self.meter.method if self.meter else "")

    def _network(self, stack: ExitStack) -> PrivateNetwork | None:
        """Return a private network that is removed with ``stack``, or None if it is unavailable."""
        spark = self.plan.experiment.spark
        if not self.backend.needs_spark:
            return None
        reason = "it trains on an existing cluster"
        if not spark.has_own_executors:
            reason = "spark.network is 'host'"
            if spark.network == "auto":
                reason = needs_network(self.plan, task_of(self.plan, self.data, self.backend))
        if spark.network == "private" or not reason:
            try:
                network = stack.enter_context(private_network())
            except NoPrivateNetworkError as error:
                if spark.network == "private":
                    raise
                reason = f"this machine does not allow one ({error})"
            else:
                self.network = "private"
                return network
        if note := exposure(self.backend, spark.master, reason):
            self.notes.append(note)
            self.on_note(note)
        return None

    def _cluster(
        self, stack: ExitStack, network: PrivateNetwork | None, environment: dict[str, str]
    ) -> str | None:
        """Return the Spark URL, or None for a backend without Spark.

        If the experiment specifies no cluster, an embedded one is started, which ends with
        ``stack``. Variables that the driver needs in addition are added to ``environment``.
        """
        spark = self.plan.experiment.spark
        if not self.backend.needs_spark:
            return None
        if spark.master != EMBEDDED:
            if not spark.has_own_executors:
                settings = write_settings(self.folder / "conf", authentication())
                environment |= driver_environment(settings)
            return spark.master
        conf = self.backend.spark_conf(task_of(self.plan, self.data, self.backend)) | spark.conf
        memory = megabytes(conf.get("spark.executor.memory", spark.executor_memory))
        check_memory(self.plan.experiment.workers, memory)
        self.cluster = cluster = stack.enter_context(
            embedded_cluster(
                self.plan.experiment.workers,
                memory + _EXECUTOR_OVERHEAD_MB,
                self.folder / "cluster",
                network,
            )
        )
        for process in cluster.processes:
            self.monitor.watch(process.pid)
        environment |= cluster.environment
        return cluster.master

    def _watch_driver(self, pid: int) -> None:
        self.drivers.append(pid)
        self.monitor.watch(pid)
