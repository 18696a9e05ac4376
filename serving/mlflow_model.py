"""The classifier as an MLflow model.

MLflow stores this file with the model and executes it wherever the model is loaded. The code that
it needs is stored beside the network, in ``code.zip``; an installed version of the project takes
precedence.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ServedClassifier(PythonModel):
    """Classifier that accepts image files, base64, paths, PIL images and arrays."""

    def load_context(self, context: Any) -> None:
        """Load the network."""
        folder = Path(context.artifacts["classifier"])
        if find_spec("serving") is None:
            sys.path.append(str(folder / "code.zip"))
        from serving.classifier import Classifier

        self.classifier = Classifier.open(folder)

    # MLflow warns about most type hints of the input, and about none. This one changes nothing:
    # inputs of every kind are passed on as they are.
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return class, decision and probabilities of images.

        Parameters
        ----------
        context
            Context given by MLflow; not used.
        model_input
            One image or several, as bytes of a file, base64, path, PIL image or array of any size;
            or a DataFrame with such a column.
        params
            Not used.

        Returns
        -------
        DataFrame
            Columns ``class``, ``decision`` (class at the decision threshold) and
            ``probability_<class>``, one row for each image.
        """
        found = self.classifier.classify(model_input)
        rows = [
            {"class": one.class_name, "decision": one.decision}
            | {f"probability_{name}": value for name, value in one.probabilities.items()}
            for one in found
        ]
        names = [f"probability_{name}" for name in self.classifier.card.class_names]
        return pd.DataFrame(rows, columns=["class", "decision", *names])


set_model(ServedClassifier())
