"""Tables of the documentation: densities on known distributions and on real sets, resumable."""
