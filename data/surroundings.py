"""First step of every command: module search path and environment of this process.

Only :mod:`data.import_path` is imported at first: until the path is in order, another import could
find a file of the user.
"""

from data.import_path import order_path


def settle() -> None:
    """Put ``sys.path`` in order, and then the environment, as children will have them."""
    order_path()
    from data import process_environment

    process_environment.settle()
