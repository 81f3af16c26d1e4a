"""The service under load beside its limits: ``make bench``."""
