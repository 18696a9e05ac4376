"""Measurement of the CPU time, memory, I/O, GPU use and energy of a run."""
