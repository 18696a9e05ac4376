"""Spark settings that an experiment must not change."""

from collections.abc import Mapping

#: Prefixes of the settings that the harness sets for a Spark that it starts itself.
_RESERVED = ("spark.authenticate", "spark.network.crypto.", "spark.io.encryption.")


def check_reserved(conf: Mapping[str, str]) -> None:
    """Reject a ``conf`` that would weaken the access control of a Spark started by the harness.

    Raises
    ------
    ValueError
        If ``conf`` contains such a setting; the message names the first one.
    """
    for name in conf:
        if name.startswith(_RESERVED):
            raise ValueError(
                f"{name} cannot be set for a Spark that is started for the run, whose processes "
                "share a secret: omit it, or name an existing cluster with --master"
            )
