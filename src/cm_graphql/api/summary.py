"""Totals of credit memos by what they have in common, added up by the database."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, cast

import strawberry
from sqlalchemy import ColumnElement, case, extract, func, select

from cm_graphql.api.types.accounts import Account
from cm_graphql.api.types.credit_memos import CreditMemo
from cm_graphql.domain.enums import MemoStatus
from cm_graphql.fields.errors import RequestError
from cm_graphql.fields.filters import condition, filter_input
from cm_graphql.fields.loaders import Loaders
from cm_graphql.fields.resolve import loaders_of, one_of_object
from cm_graphql.fields.wire import show_amount
from cm_graphql.store import tables as t
from cm_graphql.store.sums import split_sum, whole_sum

if TYPE_CHECKING:
    CreditMemoFilter = Any
else:
    CreditMemoFilter = filter_input(CreditMemo.__node__)

MOST_GROUPS = 5_000
"""Groups that one summary may have."""

_AMOUNTS = ("amount", "tax_amount", "applied_amount", "unapplied_amount", "refund_amount")


@strawberry.enum(description="What credit memos can be grouped by; they are always split by currency too.")
class CreditMemoGrouping(Enum):
    """What credit memos can be grouped by."""

    CURRENCY = strawberry.enum_value("currency", description="By currency, which is done in any case.")
    STATUS = strawberry.enum_value("status", description="By status.")
    ACCOUNT = strawberry.enum_value("account_id", description="By account.")
    REASON_CODE = strawberry.enum_value("reason_code", description="By reason code.")
    MONTH = strawberry.enum_value("month", description="By the month of `creditMemoDate`.")


@strawberry.type(description="What the memos of a group have in common; what was not grouped by is null.")
class CreditMemoSummaryKey:
    """The key of a group."""

    currency: str = strawberry.field(description="The ISO 4217 code; amounts of different currencies are never added.")
    status: MemoStatus | None = strawberry.field(description="The status.", default=None)
    account_id: strawberry.ID | None = strawberry.field(description="The account.", default=None)
    reason_code: str | None = strawberry.field(
        description="The reason code; null also for memos that have none.", default=None
    )
    month: str | None = strawberry.field(description='The month of `creditMemoDate`, such as "2026-03".', default=None)

    account: Account | None = one_of_object("Account", "The account.", "account_id")


@strawberry.type(description="Totals of a group of credit memos, in the group's currency.")
class CreditMemoSummary:
    """One group with its totals."""

    key: CreditMemoSummaryKey = strawberry.field(description="What the memos have in common.")
    count: int = strawberry.field(description="How many memos there are.")
    amount: Decimal = strawberry.field(description="The sum of their totals, tax included.")
    tax_amount: Decimal = strawberry.field(description="The sum of their taxes.")
    applied_amount: Decimal = strawberry.field(description="The sum of what was applied.")
    unapplied_amount: Decimal = strawberry.field(description="The sum of what is neither applied nor refunded.")
    refund_amount: Decimal = strawberry.field(description="The sum of what was refunded.")


_DAY = case(
    # The driver of PostgreSQL keeps the first and the last day of the calendar as infinities, which have no month.
    (t.credit_memos.c.credit_memo_date > date(9999, 12, 30), date(9999, 12, 30)),
    (t.credit_memos.c.credit_memo_date < date(1, 1, 2), date(1, 1, 2)),
    else_=t.credit_memos.c.credit_memo_date,
)

_COLUMNS: dict[CreditMemoGrouping, tuple[ColumnElement[Any], ...]] = {
    CreditMemoGrouping.STATUS: (t.credit_memos.c.status,),
    CreditMemoGrouping.ACCOUNT: (t.credit_memos.c.account_id,),
    CreditMemoGrouping.REASON_CODE: (t.credit_memos.c.reason_code,),
    CreditMemoGrouping.MONTH: (extract("year", _DAY), extract("month", _DAY)),
}
"""What the database groups by, beside the currency."""


async def credit_memo_summary(
    info: strawberry.Info,
    filter: Annotated[
        CreditMemoFilter | None, strawberry.argument(description="Which memos; all of them unless given.")
    ] = None,
    group_by: Annotated[
        list[CreditMemoGrouping] | None,
        strawberry.argument(description="What to group by; one total per currency unless given."),
    ] = None,
) -> list[CreditMemoSummary]:
    """Add up credit memos; groups are in the order of their keys, currency first."""
    wanted = list(dict.fromkeys(group for group in group_by or () if group is not CreditMemoGrouping.CURRENCY))
    return await _summarize(loaders_of(info), filter, wanted)


async def _summarize(
    loaders: Loaders, asked_filter: Any, wanted: Sequence[CreditMemoGrouping]
) -> list[CreditMemoSummary]:
    memos = t.credit_memos
    node_type = CreditMemo.__node__
    keys = [memos.c.currency, *(column for group in wanted for column in _COLUMNS[group])]
    labelled = [column.label(f"key_{place}") for place, column in enumerate(keys)]
    # By their labels, since PostgreSQL does not see that two expressions with parameters are the same.
    names = [label.name for label in labelled]
    sums = [piece for name in _AMOUNTS for piece in split_sum(memos.c[name])]
    rows = await loaders.source.rows(
        select(*labelled, func.count(), *sums)
        .where(condition(node_type, asked_filter), loaders.visible(node_type))
        .group_by(*names)
        .order_by(*(label.nulls_last() for label in labelled))
        .limit(MOST_GROUPS + 1)
    )
    if len(rows) > MOST_GROUPS:
        raise RequestError(
            "LIMIT_EXCEEDED", f"This summary has more than {MOST_GROUPS} groups: filter, or group by less."
        )
    return [_summary(wanted, row[: len(keys)], row[len(keys) :]) for row in rows]


def _summary(wanted: Sequence[CreditMemoGrouping], keys: Sequence[Any], totals: Sequence[Any]) -> CreditMemoSummary:
    currency, *rest = keys
    values = iter(rest)
    key: dict[str, Any] = {}
    for group in wanted:
        if group is CreditMemoGrouping.MONTH:
            key["month"] = f"{int(next(values)):04d}-{int(next(values)):02d}"
        else:
            key[cast(str, group.value)] = next(values)
    count, *pieces = totals
    amounts: dict[str, Any] = {
        name: show_amount(whole_sum(*pieces[2 * place : 2 * place + 2]), currency)
        for place, name in enumerate(_AMOUNTS)
    }
    return CreditMemoSummary(key=CreditMemoSummaryKey(currency=currency, **key), count=count, **amounts)
