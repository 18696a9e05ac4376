"""Runs on EMR and EMR Serverless."""
