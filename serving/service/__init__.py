"""Prediction service: ``sparkdl-bench serve``, SageMaker's container contract and the web page."""
