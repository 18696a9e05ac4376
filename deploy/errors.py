"""Errors of the deploy room."""


class DeployError(Exception):
    """A request that cannot be carried out; the message says what to do."""
