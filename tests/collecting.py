"""What Python has to look for before it can forget it, for which everybody waits."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def left_to_the_collector(*packages: str) -> Iterator[list[Any]]:
    """Gather what nobody refers to at the end but itself, of these packages' kinds of things."""
    left: list[Any] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
        gc.collect()
        left.extend(kept for kept in gc.garbage if type(kept).__module__.partition(".")[0] in packages)
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()
