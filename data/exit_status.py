"""Exit statuses of every command of the project."""

FINISHED = 0
#: A run or a job failed.
FAILED = 1
#: The request cannot be carried out as it was given, or every backend refused it.
WRONG_REQUEST = 2
#: Ctrl-C; 128 plus the number of SIGINT, as shells have it.
INTERRUPTED = 130
