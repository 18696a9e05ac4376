"""A cluster of several hosts on this machine: namespaces, processes and their recorded state."""
