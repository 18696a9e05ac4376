"""BigDL DLlib: the Keras network translated to BigDL's own layers and trained in the JVM."""

from backends.bigdl.backend import BigDL, BigDLOptions

__all__ = ["BigDL", "BigDLOptions"]
