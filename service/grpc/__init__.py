"""The gRPC transport: the Open Inference Protocol, ``logdet.v1`` and health checks."""
