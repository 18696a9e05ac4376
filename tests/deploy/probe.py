"""Tries repeatedly to connect: ``python probe.py SECONDS HOST:PORT ...``.

Prints each address that accepts a connection once; ends after SECONDS or when stdin is closed.
"""

import select
import socket
import sys
import time


def main() -> None:
    deadline = time.monotonic() + float(sys.argv[1])
    waiting = set(sys.argv[2:])
    while waiting and time.monotonic() < deadline:
        for target in sorted(waiting):
            host, _, port = target.partition(":")
            try:
                socket.create_connection((host, int(port)), 0.3).close()
            except OSError:
                continue
            waiting.discard(target)
            print(target, flush=True)
        if select.select([sys.stdin], [], [], 0.1)[0]:
            return


main()
