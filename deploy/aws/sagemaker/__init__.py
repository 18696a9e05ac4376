"""Training jobs and endpoints on SageMaker."""
