"""Keras's defaults, independent of the settings of the process that builds a network."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keras_defaults() -> Iterator[None]:
    """Use float32 and channels last within a block, and restore the previous settings after it.

    A notebook, or a user's ``keras.json``, may have other settings for its own networks.
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
