"""Requests in short, and the refusals they meet: what tests of the rules say over and over."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    DebitMemoApplication,
    DebitMemoApplicationItem,
    InvoiceApplication,
    InvoiceApplicationItem,
    UnapplyCreditMemo,
)
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.domain.records import CreditMemo, Target

Items = Sequence[tuple[str, str, str]]
"""Explicit items: credit line, target line, amount."""
Want = tuple[Target, str] | tuple[Target, str, Items]
"""A target and the amount for it, line by line or not."""


_OUR_NAMES = re.compile(r"\b(?!(?:acc|chg|cm[a-z]?|cip|dm[a-z]?|in[vit]|pm|ref)_)[a-z]+_[a-z]+\b")


def speaks_the_callers_language(message: str) -> bool:
    """Tell whether a message spells fields as the API does, which are called otherwise inside."""
    return _OUR_NAMES.search(message) is None


@contextmanager
def refused(code: ErrorCode, *field: str | int, saying: str = "") -> Iterator[None]:
    """Expect a refusal with this one fault, at this place of the input, its message containing `saying`."""
    with pytest.raises(Refusal) as caught:
        yield
    assert [(fault.code, fault.field) for fault in caught.value.faults] == [(code, field)]
    assert saying in caught.value.faults[0].message
    assert speaks_the_callers_language(str(caught.value))


@contextmanager
def refused_for(*faults: tuple[Any, ...]) -> Iterator[None]:
    """Expect a refusal with all these faults together, each a code followed by its field."""
    with pytest.raises(Refusal) as caught:
        yield
    assert {(fault.code, *fault.field) for fault in caught.value.faults} == set(faults)
    assert speaks_the_callers_language(str(caught.value))


def applying(memo: CreditMemo, *wants: Want, **fields: Any) -> ApplyCreditMemo:
    """A request to apply a memo to targets; debit memos go where they belong."""
    return ApplyCreditMemo(key=Key(memo.id), **_wanted(wants), **fields)


def unapplying(memo: CreditMemo, *wants: Want, **fields: Any) -> UnapplyCreditMemo:
    """A request to unapply a memo from targets, from everything when there are none."""
    return UnapplyCreditMemo(key=Key(memo.id), **_wanted(wants), **fields)


def _wanted(wants: Sequence[Want]) -> dict[str, Any]:
    invoices: list[InvoiceApplication] = []
    debit_memos: list[DebitMemoApplication] = []
    for target, amount, *items in wants:
        if target.is_invoice:
            invoices.append(
                InvoiceApplication(
                    invoice_key=Key(target.id),
                    amount=Decimal(amount),
                    items=tuple(_invoice_item(*item) for item in items[0]) if items else None,
                )
            )
        else:
            debit_memos.append(
                DebitMemoApplication(
                    debit_memo_key=Key(target.id),
                    amount=Decimal(amount),
                    items=tuple(_debit_memo_item(*item) for item in items[0]) if items else None,
                )
            )
    return {"invoices": tuple(invoices), "debit_memos": tuple(debit_memos)}


def _invoice_item(source: str, target: str, amount: str) -> InvoiceApplicationItem:
    return InvoiceApplicationItem(
        amount=Decimal(amount),
        **_source(source),
        **{"invoice_item_id" if target.startswith("ini_") else "tax_item_id": Key(target)},
    )


def _debit_memo_item(source: str, target: str, amount: str) -> DebitMemoApplicationItem:
    return DebitMemoApplicationItem(
        amount=Decimal(amount),
        **_source(source),
        **{"debit_memo_item_id" if target.startswith("dmi_") else "tax_item_id": Key(target)},
    )


def _source(source: str) -> dict[str, Key]:
    return {"credit_memo_item_id" if source.startswith("cmi_") else "credit_tax_item_id": Key(source)}
