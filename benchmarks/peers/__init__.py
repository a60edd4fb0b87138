"""The systems that are compared: each module builds the same work with its own means."""
