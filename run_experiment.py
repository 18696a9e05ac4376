"""Train one CNN on patient-split images through Spark and record the result in MLflow.

uv run run_experiment.py --backend elephas
"""

import platform
import sys


def unfit_machine():  # type: ignore[no-untyped-def]  # any Python 3 must be able to read this
    """Return why this machine cannot run the project, or None."""
    if sys.version_info[:2] != (3, 11):
        found = platform.python_version()
        return "Python 3.11 is needed, this is " + found + ": use 'uv run run_experiment.py'"
    system, processor = platform.system(), platform.machine()
    if (system, processor) != ("Linux", "x86_64"):
        return "Linux on x86_64 is needed (TensorFlow 2.19), this is " + system + " " + processor
    return None


if __name__ == "__main__":
    problem = unfit_machine()  # type: ignore[no-untyped-call]
    if problem:
        sys.exit("error: " + problem)
    try:
        from experiments.cli import main
    except ModuleNotFoundError as error:
        sys.exit("error: no package " + str(error.name) + ": use 'uv run run_experiment.py'")
    except KeyboardInterrupt:
        sys.exit(130)
    main()
