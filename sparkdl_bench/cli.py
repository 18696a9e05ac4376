"""The command ``sparkdl-bench``.

Nothing of the project is imported before the search path for modules is in order: a ``PYTHONPATH``
may name a folder that holds another ``data`` or ``models``.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the command with the arguments of this process, and end the process."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from data.exit_status import INTERRUPTED

    try:
        from data.surroundings import settle

        settle()
        from data.command_line import end_with
        from data.entry import begin
        from sparkdl_bench.commands import app

        begin()
        end_with(app, "sparkdl-bench")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
