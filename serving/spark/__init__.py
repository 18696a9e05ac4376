"""Classification of images on Spark: functions for SQL and DataFrames, and bulk scoring."""
