"""Augmentation on the device: pure functions from a key, an image and its labels to an image and its labels."""
