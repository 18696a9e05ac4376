"""The bucket that ``docker-compose.yml`` keeps prepared images and artifacts in."""

from deploy.errors import DeployError

_OWN = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def make_bucket(name: str) -> bool:
    """Make the bucket ``name`` where the AWS variables point; tell whether it was missing.

    Raises
    ------
    DeployError
        When the store refuses or does not answer.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        boto3.client("s3").create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in _OWN:
            return False
        raise DeployError(f"bucket {name} cannot be made: {error}") from error
    except BotoCoreError as error:
        raise DeployError(
            f"the store does not answer ({error}): check AWS_ENDPOINT_URL_S3 and the credentials"
        ) from error
    return True
