"""The model that the service is asked to serve."""

from pathlib import Path

import pytest

from serving.classifier import classifier_folder
from serving.errors import ServingError
from serving.service.finding import find

pytestmark = pytest.mark.slow


class TestFinding:
    """The search for a model in a process of its own."""

    def test_a_folder_needs_no_search(self, recorded_model: Path) -> None:
        assert find(str(recorded_model)).folder == classifier_folder(recorded_model)

    def test_a_name_that_is_unknown_is_said_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(ServingError) as raised:
            find("nothing", f"sqlite:///{tmp_path}/mlflow.db")
        assert "\n" not in str(raised.value)
        assert not str(raised.value).startswith("error:")
