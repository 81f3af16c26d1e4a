"""``make bench-graphs``: how fast the exported graphs are beside what they cannot do without."""
