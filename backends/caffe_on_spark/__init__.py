"""Caffe in the tasks of a Spark barrier stage, with the Keras network written for Caffe."""

from backends.caffe_on_spark.backend import CaffeOnSpark

__all__ = ["CaffeOnSpark"]
