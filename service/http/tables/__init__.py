"""Rows as tables: CSV and Arrow in and out, and lines of JSON out."""
