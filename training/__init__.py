"""Offline: data, bijections, fitting, export. Meets the service only in the bundle."""

from exported.telemetry import refuse_telemetry

refuse_telemetry()  # here, because onnxruntime reads it when it is imported
