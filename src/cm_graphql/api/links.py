"""Links to files that work for a few minutes for whoever has them: an address, an end, and a signature of both."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final, Protocol

from cm_graphql.store.documents import FILES_PATH

SECONDS: Final = 300


@dataclass(frozen=True)
class Links:
    """Signs links, and knows its own signatures again."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Every process that answers requests has the same; made up, when nobody else has to know it."""
    seconds: int = SECONDS

    def url(self, file_id: str, now: float) -> str:
        """Sign a link to a file, good from now on for so many seconds."""
        ends = int(now) + self.seconds
        return f"{FILES_PATH}{file_id}?expires={ends}&signature={self._sign(file_id, ends)}"

    def accepts(self, file_id: str, expires: str, signature: str, now: float) -> bool:
        """Whether these are the end and the signature of a link to this file that has not ended."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and signature.isascii()):
            return False
        signed = self._sign(file_id, int(expires))
        return hmac.compare_digest(signature, signed) and now < int(expires)

    def _sign(self, file_id: str, ends: int) -> str:
        return hmac.new(self.secret, f"{FILES_PATH}{file_id}:{ends}".encode(), hashlib.sha256).hexdigest()


class _Api(Protocol):
    @property
    def links(self) -> Links: ...


class HasLinks(Protocol):
    """What a signed field asks of the request's context."""

    @property
    def api(self) -> _Api:
        """What lives as long as the server."""
        ...
