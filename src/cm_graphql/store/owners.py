"""Whose a row is: the condition that holds for what belongs to some accounts only."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import ColumnElement, Table, select, true

from cm_graphql.store import tables as t

PARENTS: Final = (
    ("credit_memo_id", t.credit_memos),
    ("invoice_id", t.invoices),
    ("debit_memo_id", t.debit_memos),
    ("refund_id", t.refunds),
)
"""The columns by which lines and files name the document that says whose they are."""


def owned(table: Table, accounts: Collection[str] | None) -> ColumnElement[bool]:
    """Whether a row belongs to one of the accounts, or to nobody in particular; None is all accounts."""
    if accounts is None:
        return true()
    wanted = sorted(accounts)
    if table is t.accounts:
        return table.c.id.in_(wanted)
    if "account_id" in table.c:
        return table.c.account_id.in_(wanted)
    for column, parent in PARENTS:
        if column in table.c:
            return table.c[column].in_(select(parent.c.id).where(parent.c.account_id.in_(wanted)))
    return true()
