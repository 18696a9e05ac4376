"""Child processes: starting, supervising and ending them, and their private network."""
