"""Connections whose other end reads nothing of what it is sent: they are ended, since they would stay for ever."""

import asyncio
from typing import Final

import structlog
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STALLED_SECONDS: Final = 300.0
"""After so long without room for a byte. Systems tell of room by the megabyte, so this is of slow lines too."""

log = structlog.get_logger("cm_graphql.connections")


class Impatient(asyncio.Protocol):
    """Ends the connection when nothing is read at its other end.

    Whoever writes waits meanwhile, so it costs no memory; but a connection that is to be closed is first written to its
    end, and who does not read could keep it, and what is told over it, as long as they like.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    _left = 0
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Write no more for now, and see whether that changes."""
        super().pause_writing()
        self._wait()

    def resume_writing(self) -> None:
        """Go on."""
        self._stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nobody any more."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._left = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self._look)

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() < self._left:
            self._wait()
        else:
            log.info("nobody_reads", left=self._left)
            self.transport.abort()

    def _stop(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class Socket(Impatient, WebSocketsSansIOProtocol):
    """A WebSocket of a client that reads."""

    def handle_ping(self) -> None:
        """Answer, unless nothing is read: answers to any number of pings would wait in memory."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def keepalive_timeout(self) -> None:
        """End the connection of who answers no ping, whether they read that or not."""
        super().keepalive_timeout()
        self.loop.call_later(self.close_timeout, self.transport.abort)
