"""Features of images from a frozen backbone, computed on Spark's executors."""
