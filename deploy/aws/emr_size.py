"""Whether the machines of an EMR cluster hold the executors of a run, by cores and by memory."""

from deploy.aws import prices
from deploy.aws.run_options import RunOptions
from deploy.errors import DeployError

#: Share of a machine's memory that YARN gives to containers. EMR sets it by machine type: of
#: m5.xlarge 12 of 16 GiB, of larger machines more.
_YARN_SHARE = 0.75
#: MiB beside an executor's heap: ``spark.executor.memoryOverhead`` in ``emr_node.sh``.
_OVERHEAD_MB = 2048
#: MiB of YARN's application master, on one of the machines: Spark's 512 and the least overhead.
_MASTER_MB = 896


def check(run: RunOptions, instance_type: str, core_nodes: int) -> None:
    """Refuse a run whose executors would wait for machines that never come.

    Raises
    ------
    DeployError
        With what is there and what to change.
    """
    known = prices.machine("emr", instance_type)
    if known is None:
        return
    machines = max(core_nodes, 1)
    cores = known.vcpu * machines
    if run.workers > cores:
        raise DeployError(
            f"{run.workers} workers of one core are more than the {cores} of {machines} x "
            f"{instance_type}: use more --core-nodes or a larger --instance-type"
        )
    overhead = _OVERHEAD_MB if run.executor_overhead_mb is None else run.executor_overhead_mb
    executor = run.executor_memory_mb + overhead
    machine = int(known.gib * 1024 * _YARN_SHARE)
    # A container is on one machine, and one of them has the master too.
    room = machine // executor * (machines - 1) + max(machine - _MASTER_MB, 0) // executor
    if run.workers > room:
        raise DeployError(
            f"{machines} x {instance_type} hold {room} executors and not {run.workers}: one takes "
            f"{executor:,} MiB ({run.executor_memory_mb:,} of heap, {overhead:,} for Python), YARN "
            f"has {machine:,} of a machine's {known.gib * 1024:,}, {_MASTER_MB} of them for its own"
            " master: use more --core-nodes, a larger --instance-type, fewer --workers or less "
            "spark.executor_memory"
        )
