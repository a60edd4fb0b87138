"""Annotations that other programs wrote as shapes: read, drawn as masks, and put into a data-set folder."""
