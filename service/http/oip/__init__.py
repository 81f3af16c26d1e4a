"""The Open Inference Protocol over HTTP, under ``/v2``."""
