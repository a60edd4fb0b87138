"""A trained network as files that other programs run: ONNX, StableHLO, and a bioimage.io package."""
