"""``sparkdl-bench deploy java-archive``: an archive of Spark's classes for this installation."""

import sys

from data.command_line import plain_errors


def java_archive() -> None:
    """Make Spark start faster in this installation, by an archive of its classes.

    Every local run uses the archive from then on. It takes about 150 MB in the environment.
    """
    from data import class_archive

    with plain_errors():
        existed = class_archive.path().exists()
        path = class_archive.make()
        sys.stdout.write(f"{path}: {'already exists' if existed else 'created'}\n")
