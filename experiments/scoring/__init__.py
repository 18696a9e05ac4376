"""Scores of predictions, their intervals, and the figures that show them."""
