"""What a caller of any protocol asks of a model, and what the model answers."""
