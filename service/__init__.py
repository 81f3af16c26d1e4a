"""The service: verified bundles in, log-densities, decisions and samples out. No torch."""

from exported.telemetry import refuse_telemetry

refuse_telemetry()  # here, because onnxruntime reads it when it is imported
