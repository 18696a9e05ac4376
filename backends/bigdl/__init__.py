"""BigDL DLlib: the Keras network is translated to BigDL layers and trained in the JVM."""

from backends.bigdl.backend import BigDL, BigDLOptions

__all__ = ["BigDL", "BigDLOptions"]
