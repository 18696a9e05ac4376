"""From folders of medical images to patient-split Parquet files."""
