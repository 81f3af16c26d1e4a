"""The Open Inference Protocol without a transport: names, tensors, answers about models."""
