"""Sending requests with boto3; what goes wrong is told in a line that holds no secret."""

import hashlib
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.aws.plan import Request, resolve
from deploy.errors import DeployError

#: Tries of a request that AWS throttles or fails to answer, with growing pauses between them.
ATTEMPTS = 8
_CHUNK = 1 << 20
#: Codes by which AWS says that there is no such thing.
_ABSENT = {"404", "NoSuchKey", "NotFound", "ResourceNotFoundException"}
#: That it is asked too often.
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
    """No answer that counts: the network, AWS's own trouble, or credentials that have run out."""


class ThrottledError(NotReachedError):
    """AWS has refused for now."""


class Aws:
    """Clients of one region, made when first needed."""

    def __init__(self, region: str | None) -> None:
        self._region = region
        self.renew()

    def renew(self) -> None:
        """Read the credentials anew: they may have been renewed beside this process.

        Raises
        ------
        DeployError
            When AWS's settings name no region, or a profile that is not there.
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
        """Return the client of ``service``, which repeats throttled requests ever more slowly."""
        from botocore.config import Config

        if (service, attempts) not in self._clients:
            retries = {"mode": "adaptive", "total_max_attempts": attempts}
            self._clients[service, attempts] = self.session.client(
                service, config=Config(retries=retries)
            )
        return self._clients[service, attempts]

    def send(self, request: Request, values: dict[str, str]) -> dict[str, Any] | None:
        """Return the answer; None when a thing is not there whose absence is no failure.

        Raises
        ------
        DeployError
            When AWS refuses.
        NotReachedError
            When it cannot be reached.
        """
        if request.unless and self.send(request.unless, values) is not None:
            return None
        parameters = resolve(request.parameters, values)
        with aws_errors(request.operation, optional=request.optional):
            if request.operation == "PutObject":
                # In parts, each of which is repeated on its own, when the file is large.
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
    """Turn what boto3 raises into one line; with ``optional`` let pass that a thing is not there.

    Raises
    ------
    DeployError
        Saying what was asked and what AWS answered.
    NotReachedError
        When that may be otherwise in a minute.
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
        if isinstance(cause, aws.ClientError):  # an upload wraps it
            raise _refused(operation, cause.response) from error
        raise NotReachedError(f"{operation} did not reach AWS: {_line(str(error))}") from error


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
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
        return "there is no such bucket: create it, or name another with --bucket"
    if code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"):
        return (
            f"AWS does not allow {operation} ({_line(message)}): 'python -m deploy iam' prints the "
            "policies that are needed"
        )
    if code in _EXPIRED:
        return f"AWS does not accept the credentials ({code}): renew them"
    return f"AWS refused {operation} ({code}): {_line(message)}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _write(body: Any, path: Path) -> None:
    """Write all of an answer's body or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as stream:
        shutil.copyfileobj(body, stream, _CHUNK)
    unfinished.rename(path)


def _unpack(archive: Path) -> None:
    """Unpack beside the archive, which goes then; nothing in it may lead elsewhere."""
    with tarfile.open(archive) as content:
        content.extractall(archive.parent, filter="data")
    archive.unlink()
