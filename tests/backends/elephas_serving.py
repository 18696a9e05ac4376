"""A driver that serves weights: ``python -m tests.backends.elephas_serving PORT``.

Prints the process id of the server and waits to be killed.
"""

import sys
import time


def main(port: int) -> None:
    """Serve the weights of a small network."""
    from elephas.utils.serialization import model_to_dict

    from backends.elephas_server import ParameterServer
    from models import ModelConfig, build

    network = build(ModelConfig(), (16, 16, 3), 2, seed=0)
    server = ParameterServer(model_to_dict(network), port, "asynchronous")
    server.start()
    print(server.server.pid, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(int(sys.argv[1]))
