"""All-reduce training loop shared by TensorFlowOnSpark and spark-tensorflow-distributor."""
