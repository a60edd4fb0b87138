"""A training that goes on while its labels are painted."""
