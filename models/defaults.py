"""Keras's own defaults, whatever the process that builds a network has chosen."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keras_defaults() -> Iterator[None]:
    """Build in float32 with channels last for the time of a block.

    A notebook, or a user's ``keras.json``, may have chosen otherwise for networks of its own.
    """
    from keras import config

    policy, floatx = config.dtype_policy(), config.floatx()
    layout, epsilon = config.image_data_format(), config.epsilon()
    config.set_floatx("float32")
    config.set_dtype_policy("float32")
    config.set_image_data_format("channels_last")
    config.set_epsilon(1e-7)
    try:
        yield
    finally:
        config.set_epsilon(epsilon)
        config.set_image_data_format(layout)
        config.set_floatx(floatx)
        config.set_dtype_policy(policy)
