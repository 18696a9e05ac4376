"""Bucket in which ``docker-compose.yml`` stores prepared images and artifacts."""

from deploy.errors import DeployError

_MISSING = 404


def make_bucket(name: str) -> bool:
    """Create the bucket ``name`` at the endpoint of the AWS variables unless it exists.

    Returns
    -------
    bool
        True if the bucket was created, False if it existed.

    Raises
    ------
    DeployError
        If the store rejects the request or does not respond.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    store = boto3.client("s3")
    try:
        try:
            store.head_bucket(Bucket=name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != _MISSING:
                raise
        else:
            return False
        store.create_bucket(Bucket=name)
    except ClientError as error:
        raise DeployError(f"the store rejected bucket {name}: {error}") from error
    except BotoCoreError as error:
        raise DeployError(
            f"the store does not respond ({error}): check AWS_ENDPOINT_URL_S3 and the credentials"
        ) from error
    return True
