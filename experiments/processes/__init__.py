"""Child processes: start, supervision, termination and private network."""
