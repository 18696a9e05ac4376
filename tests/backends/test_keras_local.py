from tests.backends.conformance import BackendConformance, harness

__all__ = ["harness"]


class TestKerasLocal(BackendConformance):
    name = "keras_local"
