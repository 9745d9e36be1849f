"""Which media type a client asked for, by the rules of HTTP (RFC 9110, section 12) and of GraphQL over HTTP."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
EVENTS = "text/event-stream"

MAX_HEADER_LENGTH = 2_000
"""Characters of a header that are looked at; browsers send 150."""

KEPT = 500
"""Different headers that are remembered as they were understood; clients send the same few again and again."""

_COMMAS = re.compile(r'((?:[^,"]|"(?:[^"\\]|\\.)*")+)')
_SEMICOLONS = re.compile(r'((?:[^;"]|"(?:[^"\\]|\\.)*")+)')


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type or range with its parameters, names in lower case."""

    media_type: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "ContentType":
        """Read one entry; what cannot be read becomes a type that nothing matches."""
        return _parse(text[:MAX_HEADER_LENGTH])

    @property
    def is_utf8(self) -> bool:
        """UTF-8 is meant when no encoding is named."""
        return self.parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8")

    @property
    def quality(self) -> float:
        """The preference, from 0 (never) to 1; 0 for nonsense too."""
        try:
            quality = float(self.parameters.get("q", "1"))
        except ValueError:
            return 0
        return quality if 0 <= quality <= 1 else 0

    def specificity(self, offer: str) -> int:
        """Tell how exactly this range names an offer: 3 itself, 2 its family, 1 anything, 0 not at all."""
        if self.media_type == offer:
            return 3
        if self.media_type == f"{offer.partition('/')[0]}/*":
            return 2
        return 1 if self.media_type == "*/*" else 0


@lru_cache(KEPT)
def _parse(text: str) -> ContentType:
    media_type, *parameters = _SEMICOLONS.findall(text) or [""]
    pairs = (parameter.partition("=") for parameter in parameters)
    return ContentType(
        media_type.strip().lower(),
        {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs},
    )


def choose(accept: str, offers: tuple[str, ...]) -> str | None:
    """Choose what to answer with: the highest quality, then the most exactly named, then the first listed.

    Where all that is equal, as for `*/*`, the first offer wins, and so it does without an Accept header. None means
    that nothing on offer is acceptable.
    """
    return _choose(accept[:MAX_HEADER_LENGTH], offers)


@lru_cache(KEPT)
def _choose(accept: str, offers: tuple[str, ...]) -> str | None:
    if not accept.strip():
        return offers[0]
    ranges = [ContentType.parse(entry) for entry in _COMMAS.findall(accept)]
    best: tuple[float, int, int] | None = None
    chosen: str | None = None
    for offer in offers:
        rank = _rank(ranges, offer)
        if rank is not None and (best is None or rank > best):
            best, chosen = rank, offer
    return chosen


def _rank(ranges: list[ContentType], offer: str) -> tuple[float, int, int] | None:
    """Rank an offer by the range that names it most exactly; None when that range refuses it."""
    matches = [
        (one.specificity(offer), -position, one.quality)
        for position, one in enumerate(ranges)
        if one.specificity(offer) and one.is_utf8
    ]
    if not matches:
        return None
    specificity, position, quality = max(matches)
    return (quality, specificity, position) if quality > 0 else None
