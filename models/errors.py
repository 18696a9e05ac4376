"""The one error a user of the models room meets."""


class ModelError(Exception):
    """A model that cannot be built from its specification; the message says what to do."""
