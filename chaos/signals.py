"""Faults that are a signal to a process of the run."""

import signal
import time

from chaos.fault import Fault
from chaos.run_under_test import RunUnderTest, kill, signal_this_process
from chaos.slowing import stopped
from experiments.processes.children import tree


class ExecutorKilled(Fault):
    """As the kernel does with a container that is over its memory."""

    name, title = "executor-killed", "executor killed"
    how = "SIGKILL to the Java process of one executor and to its Python workers"
    needs_executors = costs_work = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill one executor."""
        executor = target.an_executor()
        kill(tree(executor.pid))
        return f"killed executor {executor.pid}"


class PythonWorkerKilled(Fault):
    """As the kernel does when one process of a container takes its memory."""

    name, title = "python-worker-killed", "Python worker killed"
    how = "SIGKILL to the busiest Python process of one executor; the executor itself lives"
    needs_executors = costs_work = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill the worker alone."""
        worker = target.a_python_worker()
        kill([worker])
        return f"killed Python worker {worker.pid}"


class ExecutorPaused(Fault):
    """As a virtual machine that is moved, or a laptop that is closed and opened."""

    name, title = "executor-paused", "executor paused"
    how = (
        "one executor and its Python workers are stopped for --pause-seconds (SIGSTOP), and "
        "continued (SIGCONT)"
    )
    needs_executors = True

    def inject(self, target: RunUnderTest) -> str:
        """Stop one executor, and let it go on."""
        executor = target.an_executor()
        with stopped(executor):
            time.sleep(target.conditions.pause_s)
        return f"executor {executor.pid} was stopped for {target.conditions.pause_s:g} s"


class DriverKilled(Fault):
    """As the kernel does when the driver's machine is short of memory."""

    name, title = "driver-killed", "driver killed"
    how = "SIGKILL to the process that drives Spark and trains; the harness above it lives"

    def inject(self, target: RunUnderTest) -> str:
        """Kill the driver alone: what is below it must end by itself."""
        driver = target.driver()
        kill([driver])
        return f"killed driver {driver.pid}"


class DriverJvmKilled(Fault):
    """As the kernel does when the driver's JVM is the largest process."""

    name, title = "driver-jvm-killed", "driver's JVM killed"
    how = "SIGKILL to the Java process below the driver; the driver itself lives"
    needs_executors = True

    def inject(self, target: RunUnderTest) -> str:
        """Kill the JVM alone: the driver must notice."""
        jvm = target.driver_jvm()
        kill([jvm])
        return f"killed the driver's JVM {jvm.pid}"


class HarnessKilled(Fault):
    """As a login session that is ended hard."""

    name, title = "harness-killed", "run_experiment killed"
    how = "SIGKILL to the whole command; then the same command with --resume"
    ends_harness = True

    def inject(self, target: RunUnderTest) -> str:
        """Return never."""
        signal_this_process(signal.SIGKILL)
        return "killed"


class Hangup(Fault):
    """As a terminal that is closed, or a connection that is lost."""

    name, title = "hangup", "terminal closed"
    how = "SIGHUP to the whole command, which must close its record; then the same with --resume"
    ends_harness = closes_record = True

    def inject(self, target: RunUnderTest) -> str:
        """Signal the process; its main thread does what follows."""
        signal_this_process(signal.SIGHUP)
        return "hung up"
