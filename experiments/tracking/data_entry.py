"""Description of a data set in MLflow's format."""

from pydantic import BaseModel


class DataEntry(BaseModel):
    """A data set in MLflow's format."""

    name: str
    digest: str
    source: str
    profile: str
    context: str
