"""Spans of requests for OpenTelemetry; nothing of it is loaded unless it is asked for."""
