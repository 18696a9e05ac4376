"""Train one CNN on patient-split images with Spark and record the result in MLflow.

uv run run_experiment.py --backend elephas
"""

import os
import sys


def unfit_machine():  # type: ignore[no-untyped-def]  # any Python 3 must be able to read this
    """Return the reason why this machine cannot run the project, or None."""
    if sys.version_info[:2] != (3, 11):
        found = sys.version.split()[0]
        return "Python 3.11 is needed, this is " + found + ": use 'uv run run_experiment.py'"
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        import platform

        found = platform.system() + " " + platform.machine()
        return "Linux on x86_64 is needed (TensorFlow 2.19), this is " + found
    return None


if __name__ == "__main__":
    problem = unfit_machine()  # type: ignore[no-untyped-call]
    if problem:
        sys.exit("error: " + problem)
    # With PYTHONSAFEPATH, Python omits the folder of the program from sys.path.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    from data.exit_status import INTERRUPTED

    try:
        from data.surroundings import settle

        settle()
        from experiments.cli.run import main
    except ModuleNotFoundError as error:
        sys.exit("error: no package " + str(error.name) + ": use 'uv run run_experiment.py'")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    main()
