"""The one error a user of the backends room meets."""


class BackendError(Exception):
    """A backend that is unknown, not installed or could not train; the message says what to do."""
