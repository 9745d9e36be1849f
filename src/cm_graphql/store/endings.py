"""Waiting for what must come to its end, however often whoever waits is stopped.

A deadline stops an action, and the end of the server may stop it again while it makes way for the next one.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

AGAIN: Final = 0.02
"""Seconds after which what is to break off is told so again: it may not have begun when it was told first."""


async def to_the_end(commit: Coroutine[Any, Any, None] | asyncio.Future[None]) -> asyncio.CancelledError | None:
    """Commit without being stopped halfway; give back the cancellation that came meanwhile.

    Raises what kept it from being done, or the cancellation, since nobody is left who would try anything else.
    """
    task = asyncio.ensure_future(commit)
    stopped: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            stopped = error
        except Exception:
            break  # of which the result tells
    try:
        task.result()
    except Exception:
        if stopped is None:
            raise
        raise stopped from None
    return stopped


async def broken_off(task: asyncio.Future[Any], break_off: Callable[[], None]) -> None:
    """Wait until a thread has let go of what nobody waits for any more, and have it do so soon."""
    while not task.done():
        break_off()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=AGAIN)
    if not task.cancelled():
        task.exception()  # which nobody is told
