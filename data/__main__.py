"""``python -m data``."""

import sys

_INTERRUPTED = 130

if __name__ == "__main__":
    try:
        from data.import_path import settle

        settle()
        from data.cli import app
        from data.command_line import end_with
        from data.entry import begin

        begin()
        end_with(app, "python -m data")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
