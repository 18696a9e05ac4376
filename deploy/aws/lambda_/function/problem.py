"""Errors that the function reports to its clients."""


class ProblemError(Exception):
    """Error for a request or for one of its images.

    Parameters
    ----------
    status
        HTTP status.
    reason
        One line for the client.
    retry_seconds
        Seconds after which the client should repeat the request; None if that is useless.
    details
        What is logged in addition, such as AWS's own message, which names the account.
    """

    def __init__(
        self, status: int, reason: str, retry_seconds: int | None = None, details: str = ""
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_seconds = retry_seconds
        self.details = details
