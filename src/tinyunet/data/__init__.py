"""From a folder of images and masks to batches: host-side code in NumPy, augmentation in JAX."""
