"""Scores as counts that merge, divided once at the end."""
