"""What is asked: six requests, for our schema and, where its names differ, for PostGraphile's."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Json = dict[str, Any]

_MEMO = "id number status creditMemoDate currency amount unappliedAmount reasonCode comment updatedDate"
_LISTED = "id number status creditMemoDate currency amount unappliedAmount reasonCode accountId updatedDate"
_NESTED = """
  id number status creditMemoDate currency amount unappliedAmount
  account { id number name currency }
  items { nodes {
    id skuName description amount quantity unitPrice serviceStartDate serviceEndDate unappliedAmount
    taxationItems { nodes { id name taxAmount taxRate jurisdiction taxDate } }
  } }
  parts { nodes { id amount invoiceId createdDate } }
"""
_PAGE = """
query %s($status: MemoStatus!, $first: Int!, $after: String) {
  creditMemos(
    first: $first, after: $after, filter: { status: { eq: $status } }
    sort: [{ field: CREDIT_MEMO_DATE, direction: DESC }]
  ) { nodes { %s } pageInfo { hasNextPage endCursor } }
}
"""

MEMO = f"query Memo($key: ID!) {{ creditMemo(key: $key) {{ {_MEMO} }} }}"
WHOLE = f"query Whole($key: ID!) {{ creditMemo(key: $key) {{ {_NESTED} }} }}"
LIST = _PAGE % ("List", _LISTED)
NESTED = _PAGE % ("Nested", _NESTED)
APPLY = """
mutation Apply($key: ID!, $invoice: ID!, $amount: Decimal!) {
  applyCreditMemo(input: { key: $key, invoices: [{ invoiceKey: $invoice, amount: $amount }] }) {
    creditMemo { id appliedAmount unappliedAmount }
    userErrors { code }
  }
}
"""

# PostGraphile shows the tables' own columns: what each of our names is called there.
_RENAMED = {
    "id": "id: rowId",
    "account": "account: accountByAccountId",
    "items": "items: creditMemoItemsByCreditMemoId(orderBy: [UPDATED_DATE_DESC, ROW_ID_DESC])",
    "taxationItems": "taxationItems: creditMemoTaxationItemsByMemoItemId(orderBy: [POSITION_ASC, ROW_ID_ASC])",
    "parts": "parts: creditMemoPartsByCreditMemoId(orderBy: [CREATED_DATE_ASC, ROW_ID_ASC])",
}


def _renamed(selection: str) -> str:
    return " ".join(_RENAMED.get(word, word) for word in selection.split())


_GRAPHILE_PAGE = """
query %s($status: String!, $first: Int!, $after: Cursor) {
  creditMemos: allCreditMemos(
    first: $first, after: $after, condition: { status: $status }, orderBy: [CREDIT_MEMO_DATE_DESC, ROW_ID_DESC]
  ) { nodes { %s } pageInfo { hasNextPage endCursor } }
}
"""

GRAPHILE = {
    "memo": f"query Memo($key: String!) {{ creditMemo: creditMemoByRowId(rowId: $key) {{ {_renamed(_MEMO)} }} }}",
    "whole": f"query Whole($key: String!) {{ creditMemo: creditMemoByRowId(rowId: $key) {{ {_renamed(_NESTED)} }} }}",
    "list": _GRAPHILE_PAGE % ("List", _renamed(_LISTED)),
    "nested": _GRAPHILE_PAGE % ("Nested", _renamed(_NESTED)),
    "apply": """
mutation Apply($key: String!, $invoice: String!, $amount: BigInt!) {
  applyCreditMemo: benchApplyPart(input: { memo: $key, invoice: $invoice, minor: $amount }) {
    creditMemo: result { id: rowId appliedAmount unappliedAmount }
  }
}
""",
}


@dataclass(frozen=True)
class Workload:
    """A kind of request."""

    name: str
    title: str
    document: str
    kind: str
    """Which of PostGraphile's documents says the same."""


WORKLOADS = (
    Workload("memo", "one memo, 10 fields", MEMO, "memo"),
    Workload("whole", "one memo, nested", WHOLE, "whole"),
    Workload("list", "list of 50, filter, sort", LIST, "list"),
    Workload("nested", "nested 50", NESTED, "nested"),
    Workload("far", "far page: the same list, nine tenths on", LIST, "list"),
    Workload("apply", "apply, in one transaction", APPLY, "apply"),
)


@dataclass(frozen=True)
class Picked:
    """What the requests ask for, the same for all contenders; pairs are shared out, so that nobody waits for others."""

    memos: list[str]
    pairs: list[tuple[str, str]]
    """Memos and invoices of one account and currency, with much left on both."""
    far: tuple[str, str]
    """The day and the id of a memo that many come before."""


AMOUNT = Decimal("0.01")
"""What each application moves."""


def bodies(
    workload: Workload,
    picked: Picked,
    *,
    graphile: bool,
    pairs: list[tuple[str, str]],
    after: str | None,
    first: int = 50,
) -> list[Json]:
    """The requests of a workload, in the words of a contender."""
    document = GRAPHILE[workload.kind] if graphile else workload.document
    name = {"memo": "Memo", "whole": "Whole", "list": "List", "nested": "Nested", "apply": "Apply"}[workload.kind]
    variables: list[Json]
    if workload.kind in ("memo", "whole"):
        variables = [{"key": key} for key in picked.memos]
    elif workload.kind == "apply":
        amount = str(int(AMOUNT * 10_000)) if graphile else str(AMOUNT)
        variables = [{"key": memo, "invoice": invoice, "amount": amount} for memo, invoice in pairs]
    else:
        variables = [{"status": "POSTED", "first": first}]
        if workload.name == "far":
            variables[0]["after"] = after
    return [{"query": document, "operationName": name, "variables": values} for values in variables]


# --- answers ----------------------------------------------------------------------------------------------------------

_AMOUNTS = {"amount", "unappliedAmount", "appliedAmount", "taxAmount"}
_SCALED = {"quantity", "unitPrice", "taxRate"}
_MOMENTS = {"updatedDate", "createdDate"}


def comparable(answer: Any, *, stored: bool) -> Any:
    """An answer without what may differ: cursors, and how numbers and moments are written.

    `stored` says that amounts are ten-thousandths and scaled numbers are billionths, as in the tables.
    """
    if isinstance(answer, list):
        return [comparable(one, stored=stored) for one in answer]
    if not isinstance(answer, Mapping):
        return answer
    return {
        name: _value(name, value, stored=stored)
        for name, value in answer.items()
        if name not in ("endCursor", "userErrors")
    }


def _value(name: str, value: Any, *, stored: bool) -> Any:
    if value is None:
        return None
    if name in _AMOUNTS:
        return Decimal(value) / 10_000 if stored else Decimal(value)
    if name in _SCALED:
        return Decimal(value) / 1_000_000_000 if stored else Decimal(value)
    if name in _MOMENTS:
        return str(value)[:19]
    return comparable(value, stored=stored)
