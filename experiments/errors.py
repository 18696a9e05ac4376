"""Errors of the experiments room."""


class ExperimentError(Exception):
    """A request that cannot be carried out; the message says what to do."""
