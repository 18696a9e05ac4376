"""Health check of a container: ``python -m deploy.health URL`` fails unless the URL responds.

It replaces curl, which the image does not contain, and imports nothing from the project.
"""

import sys
from urllib.request import urlopen

#: Timeout in seconds; Compose aborts a check after five.
_LIMIT = 4.0


def main(url: str) -> int:
    """Return 0 if ``url`` responds in time and without an error, else 1."""
    try:
        with urlopen(url, timeout=_LIMIT):
            return 0
    except OSError as error:  # the base class of all errors of urllib
        sys.stderr.write(f"{url}: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
