"""Exit statuses of the project's commands."""

FINISHED = 0
#: A run or a job failed.
FAILED = 1
#: The request is invalid, or every backend refused it.
WRONG_REQUEST = 2
#: Interrupted by Ctrl-C: 128 plus the number of SIGINT, as in shells.
INTERRUPTED = 130
