"""Measurements, one script per question; README.md says how to run them."""
