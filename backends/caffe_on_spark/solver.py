"""Settings of Caffe's solver that compute the same steps as the optimizers of Keras."""

from typing import Any

from models import OptimizerConfig
from models.caffe.schema import messages

#: Second moment and epsilon of Adam in Keras; the first moment is Caffe's ``momentum``.
_ADAM = {"momentum": 0.9, "momentum2": 0.999, "delta": 1e-7}


def obstacle(optimizer: OptimizerConfig, steps: int) -> str | None:
    """Return why Caffe's solver does not compute the steps of an optimizer of Keras, or None.

    Parameters
    ----------
    optimizer
        Optimizer and its learning rate.
    steps
        Optimizer steps of the training.
    """
    if optimizer.name not in ("adam", "sgd"):
        return (
            f"Caffe's {optimizer.name} starts from other values and adds its epsilon elsewhere "
            "than Keras's: use adam or sgd (--set optimizer.name=adam), or another backend"
        )
    policy = optimizer.policy
    if policy is not None and policy.name == "poly" and steps > policy.steps[0]:
        return (
            f"the policy poly ends after {policy.steps[0]} steps, after which Caffe has no "
            f"learning rate, and the training has {steps}: set optimizer.policy.steps=[{steps}]"
        )
    return None


def definition(optimizer: OptimizerConfig, network: str, snapshots: str) -> str:
    """Return the definition of a solver (``solver.prototxt``).

    Parameters
    ----------
    optimizer
        Optimizer for which :func:`obstacle` returns None.
    network
        Path of the definition of the network for training.
    snapshots
        Prefix of the paths of snapshots.
    """
    from google.protobuf import text_format

    kind = {"adam": "Adam", "sgd": "Nesterov" if optimizer.nesterov else "SGD"}[optimizer.name]
    solver = messages()["SolverParameter"](
        net=network,
        type=kind,
        base_lr=optimizer.learning_rate,
        lr_policy="fixed",
        max_iter=2**31 - 1,  # the number of steps is chosen by the caller
        solver_mode=0,  # CPU
        snapshot_prefix=snapshots,
        snapshot_format=0,  # HDF5, whose arrays are read without a copy into Python numbers
        **(_ADAM if optimizer.name == "adam" else {"momentum": optimizer.momentum}),
    )
    _set_policy(solver, optimizer)
    return str(text_format.MessageToString(solver))


def _set_policy(solver: Any, optimizer: OptimizerConfig) -> None:
    """Set the learning-rate policy, which the experiment has adopted from Caffe."""
    policy = optimizer.policy
    if policy is None:
        return
    solver.lr_policy, solver.gamma, solver.power = policy.name, policy.gamma, policy.power
    if policy.name == "multistep":
        solver.stepvalue.extend(policy.steps)
    elif policy.name == "poly":
        solver.max_iter = policy.steps[0]
    elif policy.steps:
        solver.stepsize = policy.steps[0]
