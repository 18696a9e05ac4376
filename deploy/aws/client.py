"""Sending requests with boto3; errors become one line without secrets."""

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.aws.plan import Request, resolve
from deploy.errors import DeployError

#: Attempts at a request that AWS throttles or fails to answer, with growing pauses in between.
ATTEMPTS = 8
_CHUNK = 1 << 20
#: Error codes for something that does not exist.
_ABSENT = {
    "404",
    "NoSuchEntity",
    "NoSuchKey",
    "NotFound",
    "NotFoundException",
    "ResourceNotFoundException",
}
#: Error codes for too many requests.
_THROTTLED = {
    "RequestLimitExceeded",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_EXPIRED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "UnrecognizedClientException",
}
_NO_CREDENTIALS = (
    "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or sign in with 'aws sso login'"
)


class NotReachedError(DeployError):
    """No usable response: network failure, server error at AWS, or expired credentials."""


class ThrottledError(NotReachedError):
    """AWS throttled the request; it was not carried out."""


class Aws:
    """Clients for one region, created on first use."""

    def __init__(self, region: str | None) -> None:
        self._region = region
        self.renew()

    def renew(self) -> None:
        """Reload the credentials, which another process may have renewed.

        Raises
        ------
        DeployError
            If AWS's settings contain no region or name a profile that does not exist.
        """
        import boto3
        from botocore.exceptions import ProfileNotFound

        try:
            self.session = boto3.Session(region_name=self._region)
        except ProfileNotFound as error:
            raise DeployError(f"{error}: correct AWS_PROFILE") from error
        if self.session.region_name is None:
            raise DeployError("no AWS region is set: use --region, for example eu-central-1")
        self._clients: dict[tuple[str, int], Any] = {}

    def client(self, service: str, attempts: int = ATTEMPTS) -> Any:
        """Return the client of ``service``, which retries throttled requests with backoff."""
        from botocore.config import Config

        if (service, attempts) not in self._clients:
            retries = {"mode": "adaptive", "total_max_attempts": attempts}
            self._clients[service, attempts] = self.session.client(
                service, config=Config(retries=retries)
            )
        return self._clients[service, attempts]

    def send(self, request: Request, values: dict[str, str]) -> dict[str, Any] | None:
        """Send a request and return the response.

        Returns
        -------
        dict or None
            None if the request was skipped because ``request.unless`` found something, or if an
            optional resource does not exist.

        Raises
        ------
        DeployError
            If AWS rejects the request.
        NotReachedError
            If AWS cannot be reached.
        """
        if request.unless and self.send(request.unless, values) is not None:
            return None
        parameters = resolve(request.parameters, values)
        with aws_errors(request.operation, optional=request.optional):
            if request.operation == "PutObject":
                # upload_file splits large files into parts and retries each part separately.
                more = {"Metadata": parameters["Metadata"]} if "Metadata" in parameters else None
                self.client("s3").upload_file(
                    str(request.file), parameters["Bucket"], parameters["Key"], ExtraArgs=more
                )
                return {}
            client = self.client(request.service, 1 if request.lost else ATTEMPTS)
            answer = getattr(client, request.method)(**parameters)
            if request.file is not None:
                _write(answer["Body"], request.file)
                if request.unpack:
                    _unpack(request.file)
            return dict(answer)
        return None


@contextmanager
def aws_errors(operation: str, *, optional: bool = False) -> Iterator[None]:
    """Turn boto3's exceptions into one line; with ``optional``, ignore a missing resource.

    Raises
    ------
    DeployError
        If AWS rejects the operation; the message contains the operation and the response.
    NotReachedError
        If a retry after some time may succeed.
    """
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as aws

    try:
        yield
    except aws.ClientError as error:
        if not (optional and str(error.response.get("Error", {}).get("Code")) in _ABSENT):
            raise _refused(operation, error.response) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError) as error:
        raise NotReachedError(_NO_CREDENTIALS) from error
    except aws.ParamValidationError as error:
        raise DeployError(f"{operation} is not a valid request: {_line(str(error))}") from error
    except (aws.BotoCoreError, Boto3Error) as error:
        cause = error.__context__
        if isinstance(cause, aws.ClientError):  # wrapped by an upload
            raise _refused(operation, cause.response) from error
        raise NotReachedError(f"{operation} did not reach AWS: {_line(str(error))}") from error


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refused(operation: str, response: dict[str, Any]) -> DeployError:
    answer = response.get("Error", {})
    code = str(answer.get("Code", ""))
    text = _refusal(operation, code, str(answer.get("Message", "")))
    if code in _THROTTLED:
        return ThrottledError(text)
    own_trouble = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
    return NotReachedError(text) if own_trouble or code in _EXPIRED else DeployError(text)


def _refusal(operation: str, code: str, message: str) -> str:
    if code == "NoSuchBucket":
        return "there is no such bucket: create it, or use another one with --bucket"
    if code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"):
        return (
            f"AWS does not allow {operation} ({_line(message)}): 'sparkdl-bench deploy iam' prints "
            "the required policies"
        )
    if code in _EXPIRED:
        return f"AWS does not accept the credentials ({code}): renew them"
    return f"AWS rejected {operation} ({code}): {_line(message)}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _write(body: Any, path: Path) -> None:
    """Write the body of a response completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as stream:
        shutil.copyfileobj(body, stream, _CHUNK)
    unfinished.rename(path)


def _unpack(archive: Path) -> None:
    """Unpack an archive into its own folder and delete it; paths outside the folder are refused."""
    with tarfile.open(archive) as content:
        content.extractall(archive.parent, filter="data")
    archive.unlink()
