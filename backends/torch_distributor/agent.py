"""Agent of torchrun on an executor, started in the place of the one of TorchDistributor.

It behaves as ``pyspark.ml.torch.torch_run_process_wrapper`` does, with two differences: torchrun
runs in this process instead of in a further one, and the store in which the workers find each other
listens on the address of its executor instead of on all addresses of the machine.
"""

import os
import signal
import socket
import sys
import threading
import time
from datetime import timedelta
from typing import Any

#: Seconds between two checks whether the Spark task that started this process still exists.
_POLL_SECONDS = 0.5


def main() -> None:
    """Run torchrun with the arguments of this process."""
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    from torch.distributed import run
    from torch.distributed.elastic.rendezvous import static_tcp_rendezvous

    static_tcp_rendezvous.TCPStore = _store
    run.main(sys.argv[1:])


def _end_with(parent: int) -> None:
    """Let torchrun end its worker and itself when the Spark task has ended."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _store(
    host: str, port: int, workers: int, is_master: bool, timeout: timedelta, **others: Any
) -> Any:
    """Return the store of the first agent, which listens on ``host`` only, or a client of it."""
    from torch.distributed import TCPStore

    if is_master:
        listener = socket.create_server((host, port), backlog=workers)
        others["master_listen_fd"] = listener.detach()
    return TCPStore(host, port, workers, is_master, timeout, **others)


if __name__ == "__main__":
    main()
