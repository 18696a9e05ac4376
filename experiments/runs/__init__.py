"""Running an experiment: set-up, one worker process per run, scoring, resumption."""
