"""The all-reduce loop that TensorFlowOnSpark and spark-tensorflow-distributor share."""
