"""HTTP/1.1 byte by byte, for what no well-behaved client sends."""

import json
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

QUERY = '{"query":"{__typename}"}'


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: the status, the head in lower case and the body."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


def request(
    *headers: str, body: str | bytes = QUERY, first: str = "POST /graphql HTTP/1.1", host: str = "localhost"
) -> bytes:
    """Write a request: the usual headers, and others after them."""
    content = body.encode() if isinstance(body, str) else body
    given = "\r\n".join((first, f"Host: {host}", f"Content-Length: {len(content)}", *headers))
    return given.encode("latin-1") + b"\r\n\r\n" + content


def exchange(base_url: str, *pieces: bytes, responses: int = 1, seconds: float = 20) -> list[Response]:
    """Send pieces one after another and read so many responses; fewer when the server hangs up."""
    address = urlsplit(base_url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break
        found = _responses(received)
        while len(found) < responses:
            try:
                more = connection.recv(65_536)
            except ConnectionResetError:
                break
            if not more:
                break
            received += more
            found = _responses(received)
        return found


def _responses(received: bytes) -> list[Response]:
    found = []
    while b"\r\n\r\n" in received:
        head, _, rest = received.partition(b"\r\n\r\n")
        text = head.decode("latin-1").lower()
        length = re.search(r"^content-length: (\d+)\r?$", text, re.M)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            break
        found.append(Response(int(text.split()[1]), text, rest[:size]))
        received = rest[size:]
    return found
