"""Names of what a deployment consists of."""

#: Prefix of the project's endpoints.
_PROJECT = "sparkdl-bench-"
#: Prefix by which policies identify the project's functions, their roles and log groups.
PREFIX = "sparkdl-bench-lambda-"


def function_name(name: str) -> str:
    """Return ``name``, which may be that of an endpoint, with the prefix of functions."""
    return name if name.startswith(PREFIX) else PREFIX + name.removeprefix(_PROJECT)


def in_arn(endpoint: str) -> str:
    """Return the name of an endpoint as its ARN has it: SageMaker writes it in lower case."""
    return endpoint.lower()


def log_group(function: str) -> str:
    """Return the log group of a function."""
    return f"/aws/lambda/{function}"
