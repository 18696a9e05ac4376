"""Suppression of the messages that libtiff prints to the terminal for each damaged file."""

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def silence() -> None:
    """Keep libtiff from printing errors in this process, because Pillow raises them anyway.

    Pillow disables libtiff's warnings but not its errors. The library is the one that Pillow has
    loaded; if none is found by name, it continues to print.
    """
    with suppress(OSError, AttributeError):
        # The library that Pillow has loaded is listed among the memory-mapped files.
        mapped = Path("/proc/self/maps").read_text().splitlines()
        for name in {line.partition("/")[2] for line in mapped if "/libtiff" in line}:
            handler = ctypes.CDLL(f"/{name}").TIFFSetErrorHandler
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)
