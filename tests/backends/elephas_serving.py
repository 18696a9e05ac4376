"""Driver that serves weights: ``python -m tests.backends.elephas_serving``.

It prints the process id and the port of the server after a worker of the run has read and changed
the weights, and then waits to be killed.
"""

import time

import numpy as np

#: Secret that the test also uses.
SECRET = "of this run"  # pragma: allowlist secret


def main() -> None:
    """Serve the weights of a small network."""
    from elephas.utils.serialization import model_to_dict

    from backends.elephas_server import ParameterClient, ParameterServer
    from backends.ports import LOOPBACK
    from models import ModelConfig, build

    network = build(ModelConfig(), (16, 16, 3), 2, seed=0)
    server = ParameterServer(model_to_dict(network), (LOOPBACK, 0), "asynchronous", SECRET)
    server.start()
    worker = ParameterClient(server.port, SECRET)
    worker.update_parameters([np.ones_like(weight) for weight in network.get_weights()])
    for found, before in zip(worker.get_parameters(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(found, before - 1)
    print(server.server.pid, server.port, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()
