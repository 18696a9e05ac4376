"""Check that an EMR cluster has enough cores and memory for the executors of a run."""

from deploy.aws import prices
from deploy.aws.run_options import RunOptions
from deploy.errors import DeployError

#: Share of a machine's memory that YARN assigns to containers. EMR sets it by machine type: 12 of
#: 16 GiB for m5.xlarge, more for larger machines.
_YARN_SHARE = 0.75
#: MiB outside an executor's heap: ``spark.executor.memoryOverhead`` in ``node.sh``.
_OVERHEAD_MB = 2048
#: MiB of YARN's application master on one of the machines: Spark's 512 and the minimum overhead.
_MASTER_MB = 896


def check(run: RunOptions, instance_type: str, core_nodes: int) -> None:
    """Reject a run whose executors do not fit on the cluster and would wait forever.

    Machine types that are not in the price table are not checked.

    Raises
    ------
    DeployError
        If cores or memory are insufficient; the message says what to change.
    """
    known = prices.machine("emr", instance_type)
    if known is None:
        return
    machines = max(core_nodes, 1)
    cores = known.vcpu * machines
    if run.workers > cores:
        raise DeployError(
            f"{run.workers} workers with one core each exceed the {cores} cores of {machines} x "
            f"{instance_type}: use more --core-nodes or a larger --instance-type"
        )
    overhead = _OVERHEAD_MB if run.executor_overhead_mb is None else run.executor_overhead_mb
    executor = run.executor_memory_mb + overhead
    machine = int(known.gib * 1024 * _YARN_SHARE)
    # A container cannot span machines, and one machine also runs the application master.
    fitting = machine // executor * (machines - 1) + max(machine - _MASTER_MB, 0) // executor
    if run.workers > fitting:
        raise DeployError(
            f"{machines} x {instance_type} can hold {fitting} executors, not {run.workers}: each "
            f"takes {executor:,} MiB ({run.executor_memory_mb:,} of heap, {overhead:,} for Python)"
            f" and YARN has {machine:,} of a machine's {known.gib * 1024:,} MiB, {_MASTER_MB} of "
            "which one application master takes: use more --core-nodes, a larger --instance-type,"
            " fewer --workers or less spark.executor_memory"
        )
