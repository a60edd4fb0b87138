"""A run is a folder: its configuration, and the only place where names become objects."""
