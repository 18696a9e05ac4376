"""Measurement of CPU time, memory, input and output, GPUs and energy of a run."""
