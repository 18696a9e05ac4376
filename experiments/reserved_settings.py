"""Spark settings that an experiment cannot change."""

from collections.abc import Mapping

#: Prefixes of the settings that the harness sets for a Spark that it starts itself.
_RESERVED = ("spark.authenticate", "spark.network.crypto.", "spark.io.encryption.")


def check_reserved(conf: Mapping[str, str]) -> None:
    """Refuse a user's ``conf`` that would let others into a Spark that the harness starts.

    Raises
    ------
    ValueError
        With the first such setting.
    """
    for name in conf:
        if name.startswith(_RESERVED):
            raise ValueError(
                f"{name} cannot be set for a Spark that is started for the run, whose processes "
                "share a secret: leave it out, or name a cluster of your own with --master"
            )
