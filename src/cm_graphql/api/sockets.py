"""WebSockets as they come off the wire: uvicorn's protocol, and how much it hears of somebody whom it does not know."""

from collections.abc import Callable
from typing import Any, Final

from websockets.frames import CloseCode

from cm_graphql.api import stalls

INTRODUCED: Final = "introduced"
"""Under this name the state of a socket has what to call when its caller is known."""

MOST_OF_STRANGERS: Final = 128 * 1024
"""Bytes that are heard before that, the head of the request among them: a token is of some thousands. Without it the
first message could be as large as any, from everybody who reaches the port.
"""

NO_SOCKET: Final = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Socket(stalls.Socket):
    """One socket of a client.

    Messages are never compressed (`ws_per_message_deflate`): a few kilobytes could unfold to as much as a body has.
    """

    _heard = 0
    _is_known = False

    def data_received(self, data: bytes) -> None:
        """Take what arrived, unless a stranger has said too much."""
        if not self._is_known:
            self._heard += len(data)
            if self._heard > MOST_OF_STRANGERS:
                self._hang_up()
                return
        super().data_received(data)
        wrong: BaseException | None = self.conn.handshake_exc
        if wrong is not None and not self.handshake_initiated:
            # It is no request for a socket at all, as a POST that offers one. Nobody else would end the connection.
            self.transport.write(NO_SOCKET)
            self.transport.close()

    def handle_connect(self, event: Any) -> None:
        """Begin, with a way for the application to tell that it knows the caller."""
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["state"][INTRODUCED] = self._introduced

    def handle_cont(self, event: Any) -> None:
        """Take a piece of a message, and keep it with those before: each apart takes more memory than it is long."""
        begun: Any = self.frames[0]
        joined: Any = begun if isinstance(begun, bytearray) else bytearray(begun)
        joined += event.data
        self.frames = [joined]
        if event.fin:
            self.send_receive_event_to_app()

    def _introduced(self) -> None:
        self._is_known = True

    def _hang_up(self) -> None:
        if self.transport.is_closing():
            return
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too much before the introduction")
        if self.conn.close_sent is None:  # nothing was agreed upon yet
            self.transport.close()
        else:
            self.handle_parser_exception()


def introduce(scope: Any) -> None:
    """Tell the protocol below a socket, if it is ours, that the caller is known."""
    known: Callable[[], None] | None = scope.get("state", {}).get(INTRODUCED)
    if known is not None:
        known()
