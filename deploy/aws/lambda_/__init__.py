"""A Lambda function behind an HTTP API, with the page and predictions of a SageMaker endpoint."""
