"""Python's garbage collector, in a process that answers requests."""

from __future__ import annotations

import gc

# Objects that outlive others before the collector looks: requests leave few cycles behind, and a
# look at every 700 objects, as Python has it, takes three hundredths of a busy processor.
_YOUNG = 20_000


def settle() -> None:
    """Leave alone for ever what is loaded by now, and look seldom at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
