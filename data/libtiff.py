"""The words that libtiff prints by itself, in the middle of a terminal, for each damaged file."""

import ctypes
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def silence() -> None:
    """Keep libtiff from printing errors in this process: what is wrong is raised by Pillow.

    Pillow switches off libtiff's warnings and leaves its errors on. The library is the one that
    Pillow has loaded; where none is found by its name, it goes on printing.
    """
    with suppress(OSError, AttributeError):
        # Since Pillow has loaded it, it stands among the files that are mapped into memory.
        mapped = Path("/proc/self/maps").read_text().splitlines()
        for name in {line.partition("/")[2] for line in mapped if "/libtiff" in line}:
            handler = ctypes.CDLL(f"/{name}").TIFFSetErrorHandler
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)
