"""Structured logs: one JSON object per line on standard error.

Lines contain neither content nor names of images.
"""

import json
import logging
import sys
import traceback
import warnings
from datetime import UTC, datetime
from typing import Any

#: Logger of the service.
LOGGER = logging.getLogger("serving.service")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Return ``record`` as one JSON object."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The message of an exception could quote its input.
            line["exception"] = record.exc_info[0].__name__
            line["traceback"] = "".join(traceback.format_tb(record.exc_info[2]))
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send the logs of the service and of libraries to standard error as JSON.

    Parameters
    ----------
    level
        ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel("WARNING")
    LOGGER.setLevel(level.upper())
    if level == "debug":
        # Its messages about the start and the end of the server repeat those of the service.
        logging.getLogger("uvicorn").setLevel("DEBUG")
    # Its messages about broken forms could quote them.
    logging.getLogger("python_multipart").setLevel("CRITICAL")
    # Decoders warn about single images; their remarks are no lines of JSON.
    warnings.simplefilter("ignore")


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Write one line.

    Parameters
    ----------
    event
        What has happened.
    level
        Level of `logging`.
    fields
        Further keys of the line.
    """
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"fields": fields})
