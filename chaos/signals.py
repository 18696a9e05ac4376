"""Faults that send a signal to a process of the run."""

import signal
import time

from chaos.fault import Fault
from chaos.run_under_test import RunUnderTest, kill, signal_this_process
from chaos.slowing import stopped
from experiments.processes.children import tree


class ExecutorKilled(Fault):
    """Simulates a container that the kernel kills because it exceeds its memory limit."""

    name, title = "executor-killed", "executor killed"
    how = "SIGKILL to the Java process of one executor and to its Python workers"
    needs_executors = costs_work = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill one executor."""
        executor = target.an_executor()
        kill(tree(executor.pid))
        return f"killed executor {executor.pid}"


class PythonWorkerKilled(Fault):
    """Simulates a process that the kernel kills because it uses the memory of its container."""

    name, title = "python-worker-killed", "Python worker killed"
    how = "SIGKILL to the busiest Python process of one executor, which itself keeps running"
    needs_executors = costs_work = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill only the worker."""
        worker = target.a_python_worker()
        kill([worker])
        return f"killed Python worker {worker.pid}"


class ExecutorPaused(Fault):
    """Simulates a virtual machine that is migrated, or a laptop that is closed and opened."""

    name, title = "executor-paused", "executor paused"
    how = (
        "one executor and its Python workers are stopped for --pause-seconds (SIGSTOP), and "
        "continued (SIGCONT)"
    )
    needs_executors = True

    def inject(self, target: RunUnderTest) -> str:
        """Stop one executor, and continue it."""
        executor = target.an_executor()
        with stopped(executor):
            time.sleep(target.conditions.pause_s)
        return f"executor {executor.pid} was stopped for {target.conditions.pause_s:g} s"


class DriverKilled(Fault):
    """Simulates a driver that the kernel kills because its machine is short of memory."""

    name, title = "driver-killed", "driver killed"
    how = "SIGKILL to the process that drives Spark and trains; its parent, the harness, continues"

    def inject(self, target: RunUnderTest) -> str:
        """Kill only the driver; its descendants must end by themselves."""
        driver = target.driver()
        kill([driver])
        return f"killed driver {driver.pid}"


class DriverJvmKilled(Fault):
    """Simulates a JVM of the driver that the kernel kills because it is the largest process."""

    name, title = "driver-jvm-killed", "driver's JVM killed"
    how = "SIGKILL to the Java process below the driver, which itself keeps running"
    needs_executors = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill only the JVM; the driver must detect it."""
        jvm = target.driver_jvm()
        kill([jvm])
        return f"killed the driver's JVM {jvm.pid}"


class HarnessKilled(Fault):
    """Simulates a login session that is killed."""

    name, title = "harness-killed", "run_experiment killed"
    how = "SIGKILL to the whole command; then the same command with --resume"
    ends_harness = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill this process; does not return."""
        signal_this_process(signal.SIGKILL)
        return "killed"


class Hangup(Fault):
    """Simulates a terminal that is closed, or a connection that is lost."""

    name, title = "hangup", "terminal closed"
    how = "SIGHUP to the whole command, which must close its record; then the same with --resume"
    ends_harness = closes_record = True

    def inject(self, target: RunUnderTest) -> str:
        """Send SIGHUP to this process, which is handled by its main thread."""
        signal_this_process(signal.SIGHUP)
        return "sent SIGHUP"
