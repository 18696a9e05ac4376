"""Entry point of ``python -m data``."""

import sys

if __name__ == "__main__":
    from data.exit_status import INTERRUPTED

    try:
        from data.surroundings import settle

        settle()
        from data.cli import app
        from data.command_line import end_with
        from data.entry import begin

        begin()
        end_with(app, "python -m data")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
