"""Options of a deployment with Lambda."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deploy.aws.lambda_ import names


class FunctionOptions(BaseModel):
    """Options of a deployment."""

    model_config = ConfigDict(frozen=True)

    #: Name of the function, its role, its log group and its API.
    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    endpoint: str = Field(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,62}$")
    region: str
    #: ARN of the role of the function; None: it is a part of the deployment.
    role: str | None = None
    #: Largest number of predictions per second, and at once.
    rate: float = Field(default=10.0, gt=0, le=10_000)
    burst: int = Field(default=20, ge=1, le=5_000)
    #: ZIP archive of the function.
    package: bytes = b""

    @field_validator("name")
    @classmethod
    def _prefixed(cls, name: str) -> str:
        return names.function_name(name)
