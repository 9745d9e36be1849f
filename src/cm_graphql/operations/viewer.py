"""Who asks: the caller of a request, what they may do and which accounts they may see."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

_MEMO_RIGHTS: Final = (
    "read create update change_reason override_name post unpost cancel delete apply unapply refund reverse write_off "
    "pdf email files override_transferred"
)

SCOPES: Final = (
    *(f"credit_memos:{right}" for right in _MEMO_RIGHTS.split()),
    "documents:read",
    "documents:sync",
    "settings:read",
    "settings:write",
)
"""Every scope there is (domain.md section 6)."""

STANDARD: Final = frozenset(SCOPES) - {
    "credit_memos:change_reason",
    "credit_memos:reverse",
    "credit_memos:override_transferred",
    "settings:write",
}
"""What the role `standard` may do: the std column of domain.md section 6."""

ADMIN: Final = frozenset(SCOPES)
"""What the role `admin` may do: everything."""


ROLES: Final = {"standard": STANDARD, "admin": ADMIN}
"""The scopes of each role."""

MOST_ACCOUNTS: Final = 1_000
"""Accounts that a caller can be limited to; each of their reads names them all."""


class CannotTell(Exception):
    """Who asks cannot be found out now, because whoever knows does not answer."""


class Forbidden(Exception):
    """The caller lacks a permission; `scope` names it."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"You do not have permission to perform this operation: it needs {scope}.")
        self.scope = scope


@dataclass(frozen=True)
class Viewer:
    """The caller of a request."""

    id: str
    scopes: frozenset[str] = field(default=ADMIN)
    accounts: frozenset[str] | None = None
    """The only accounts whose documents the caller sees and touches; None: all."""

    def require(self, *scopes: str) -> None:
        """Refuse what the caller may not do: Forbidden."""
        for scope in scopes:
            if scope not in self.scopes:
                raise Forbidden(scope)

    def may(self, scopes: Collection[str]) -> bool:
        """Whether the caller may do all of this."""
        return self.scopes.issuperset(scopes)

    def sees(self, account_id: str) -> bool:
        """Whether the documents of an account exist for this caller."""
        return self.accounts is None or account_id in self.accounts


LOCAL: Final = Viewer("usr_local")
"""The caller where no authentication is configured, which only loopback reaches (domain.md section 6)."""
