"""Prepares folders of medical images as patient-split Parquet data sets."""
