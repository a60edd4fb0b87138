"""Single objects: what a network learns so that they come apart, how they are found again, and their measurements."""
