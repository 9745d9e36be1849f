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

    def handle_connect(self, event: Any) -> None:
        """Begin, with a way for the application to tell that it knows the caller."""
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope["state"][INTRODUCED] = self._introduced

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
