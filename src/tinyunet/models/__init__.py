"""The U-Net, the segmenter made of it, and the named configurations."""
