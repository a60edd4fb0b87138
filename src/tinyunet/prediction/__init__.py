"""Any callable on tiles becomes a prediction of an image of any size."""
