"""Losses, the training state and step, the loop, checkpoints and the log."""
