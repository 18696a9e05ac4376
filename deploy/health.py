"""Health check of a container: ``python -m deploy.health URL`` fails unless the URL answers.

The image has no curl, and needs none. Imports nothing of the project.
"""

import sys
from urllib.request import urlopen

#: Seconds; Compose itself gives a check five.
_LIMIT = 4.0


def main(url: str) -> int:
    """Return 0 when ``url`` answers in time and without an error, else 1."""
    try:
        with urlopen(url, timeout=_LIMIT):
            return 0
    except OSError as error:  # every error of urllib is one
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
