"""A trained network behind an interface of HTTP, and a page on it."""
