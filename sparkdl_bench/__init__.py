"""The command ``sparkdl-bench``."""
