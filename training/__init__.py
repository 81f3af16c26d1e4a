"""Offline: data, bijections, fitting, export. Meets the service only in the bundle."""
