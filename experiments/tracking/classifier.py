"""The trained network as an MLflow model, which maps pixels to probabilities.

MLflow stores this file with the model and executes it wherever the model is loaded, so it must not
import anything from this project.
"""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Classifier(PythonModel):
    """A Keras model, loaded in safe mode so that the file cannot execute code."""

    def load_context(self, context: Any) -> None:
        """Load the network."""
        import keras

        self.model = keras.saving.load_model(
            context.artifacts["network"], compile=False, safe_mode=True
        )

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Return the class probabilities of images.

        Parameters
        ----------
        context
            Context given by MLflow; not used.
        model_input
            Images, shape (n, height, width, channels).
        params
            Not used.

        Returns
        -------
        ndarray
            Probabilities, shape (n, classes), float32.
        """
        return self.model.predict(np.asarray(model_input), batch_size=64, verbose=0)


set_model(Classifier())
