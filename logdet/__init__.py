"""logdet: how likely is this row, exactly, and is that unlikely enough to act on?"""
