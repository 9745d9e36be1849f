"""What clients can read: one GraphQL type per kind of thing, each saying where its fields live in the store."""

from cm_graphql.api import enums
from cm_graphql.api.types import accounts, credit_memos, debit_memos, history, invoices, reference, settings, settlement

__all__ = [
    "accounts",
    "credit_memos",
    "debit_memos",
    "enums",
    "history",
    "invoices",
    "reference",
    "settings",
    "settlement",
]
