"""Entry point of the image: executes the given command, a Spark executor or a SageMaker endpoint.

Spark starts an executor's pod on Kubernetes with the single argument ``executor`` and passes
everything else in environment variables, which the entry point of Spark's own images turns into a
command. SageMaker starts a container that serves a model with the argument ``serve``. This module
imports nothing from the project.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence

_BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
#: Option of the executor backend -> variable in which Spark passes its value.
_OPTIONS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}
#: Variable that overrides SageMaker's folder, for tests.
_SAGEMAKER_ROOT = "SAGEMAKER_ROOT"
_JAVA_OPTION = re.compile(r"SPARK_JAVA_OPT_(\d+)")


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the command line to execute for ``arguments``."""
    if arguments and arguments[0] == "serve":
        model = f"{environment.get(_SAGEMAKER_ROOT, '/opt/ml')}/model"
        service = ["python", "-m", "serving.service", model, "--host", "0.0.0.0"]
        return [*service, *arguments[1:]]
    if list(arguments) != ["executor"]:
        return list(arguments)
    numbered = {
        int(found[1]): value
        for name, value in environment.items()
        if (found := _JAVA_OPTION.fullmatch(name))
    }
    memory = environment["SPARK_EXECUTOR_MEMORY"]
    java = [f"{environment['JAVA_HOME']}/bin/java", *(numbered[key] for key in sorted(numbered))]
    java += [f"-Xms{memory}", f"-Xmx{memory}", "-cp", f"{environment['SPARK_HOME']}/jars/*"]
    options = [part for option, name in _OPTIONS.items() for part in (option, environment[name])]
    return [*java, _BACKEND, *options]


if __name__ == "__main__":
    program = command(sys.argv[1:], os.environ)
    os.execvp(program[0], program)
