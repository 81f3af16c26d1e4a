"""Scoring of files that need not fit into memory, piece by piece, by several processes."""
