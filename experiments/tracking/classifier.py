"""The trained network as MLflow serves it: plain pixels in, probabilities out.

MLflow keeps this file with the model and runs it where the model is loaded, so that it may use
nothing of this project.
"""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Classifier(PythonModel):
    """A Keras model, loaded in safe mode: a file never brings code of its own."""

    def load_context(self, context: Any) -> None:
        """Load the network."""
        import keras

        self.model = keras.saving.load_model(
            context.artifacts["network"], compile=False, safe_mode=True
        )

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> np.ndarray:
        """Return probabilities, (n, classes) float32, of images (n, height, width, channels)."""
        return self.model.predict(np.asarray(model_input), batch_size=64, verbose=0)


set_model(Classifier())
