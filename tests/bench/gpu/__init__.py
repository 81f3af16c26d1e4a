"""``make bench-gpu``: every family's graphs on the GPU at hand, beside what the GPU can do."""
