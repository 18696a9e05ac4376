"""The bucket that ``docker-compose.yml`` keeps prepared images and artifacts in."""

from deploy.errors import DeployError

_MISSING = 404


def make_bucket(name: str) -> bool:
    """Make the bucket ``name`` where the AWS variables point; tell whether it was missing.

    Raises
    ------
    DeployError
        When the store refuses or does not answer.
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
        raise DeployError(f"the store does not give bucket {name}: {error}") from error
    except BotoCoreError as error:
        raise DeployError(
            f"the store does not answer ({error}): check AWS_ENDPOINT_URL_S3 and the credentials"
        ) from error
    return True
