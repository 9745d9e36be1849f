"""Every item part that the code makes is the one that a clerk comes to, who has the rules only on paper."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clerk
from asking import applying, unapplying
from cm_graphql.domain import refunds, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.refunds import RefundCreditMemo
from cm_graphql.domain.enums import ApplicationRule, ItemSourceType, PaymentMethodType, RefundType
from cm_graphql.domain.errors import Refusal
from cm_graphql.domain.money import SCALE, Currency
from cm_graphql.domain.records import CreditMemo, Target
from makers import CHF_CASH, JPY, TODAY, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_item

CURRENCIES = (USD, JPY, CHF_CASH, Currency("KWD", 3), Currency("USD", 2, increment=7 * USD.cent))

cents = st.integers(0, 400) | st.integers(-60, -1) | st.integers(1, 9)
lines = st.lists(st.tuples(cents, st.lists(st.integers(0, 40), max_size=2)), min_size=1, max_size=4)


def shown(cents: int, currency: Currency) -> str:
    return str(Decimal(cents * currency.cent) / SCALE)


def lines_of(drawn: Any, currency: Currency) -> list[list[str]]:
    """The nets with their taxes, as texts; the first is raised until all of them are worth something."""
    signed = [(net, [-tax if net < 0 else tax for tax in taxes]) for net, taxes in drawn]
    short = 1 - min(1, sum(net + sum(taxes) for net, taxes in signed))
    first, *rest = signed
    raised = (max(first[0], 0) + short + max(-first[0], 0), [abs(tax) for tax in first[1]])
    return [[shown(amount, currency) for amount in (net, *taxes)] for net, taxes in (raised, *rest)]


def memo_of(drawn: Any, currency: Currency) -> CreditMemo:
    items = [an_item(net, *(a_tax(tax) for tax in taxes)) for net, *taxes in lines_of(drawn, currency)]
    return a_memo(*items, currency=currency)


def lying(memo: CreditMemo, target: Target) -> list[tuple[tuple[int, int], int]]:
    """The item parts on a target, in their order, by the places of their lines."""
    part = memo.part_on(target.id)
    sources = [line.id for line in memo.lines]
    places = [line.id for line in target.lines]
    found = sorted(part.item_parts, key=lambda item: item.position) if part else []
    return [((sources.index(item.source_id), places.index(item.target_id or "")), item.amount) for item in found]


def amount(units: int) -> str:
    return str(Decimal(units) / SCALE)


@given(
    currency=st.sampled_from(CURRENCIES),
    credits=lines,
    documents=st.lists(lines, min_size=2, max_size=2),
    limit=st.sampled_from([6, 10_000]),
    data=st.data(),
)
def test_a_memo_lies_where_the_clerk_has_put_it_whatever_was_done_before(
    currency: Currency, credits: Any, documents: Any, limit: int, data: st.DataObject
) -> None:
    memo = memo_of(credits, currency)
    targets = [
        a_target(*lines_of(drawn, currency), number=number, currency=currency.code)
        for number, drawn in enumerate(documents, 1)
    ]
    sheet = clerk.Sheet(
        unapplied=[line.unapplied for line in memo.lines],
        balances=[[line.balance for line in target.lines] for target in targets],
    )
    for _ in range(data.draw(st.integers(1, 6), "steps")):
        place = data.draw(st.integers(0, 1), "target")
        what = data.draw(st.sampled_from(["fifo", "proration", "unapply", "refund"]), "what")
        most = (
            sheet.on(place)
            if what == "unapply"
            else sheet.rest
            if what == "refund"
            else min(sheet.rest, sum(sheet.balances[place]))
        )
        if most <= 0:
            continue
        total = data.draw(st.just(most) | st.integers(1, most // currency.cent).map(lambda n: n * currency.cent))
        if what == "refund":
            memo = refunded(memo, total)
            sheet.refund(total)
        elif what == "unapply":
            command = unapplying(memo, (targets[place], amount(total)))
            after = settlement.unapply(memo, [targets[place]], command, TODAY, a_book(), a_stamp())
            memo, targets[place] = after.memo, after.targets[0]
            sheet.unapply(place, total)
        else:
            cells = len([c for c in sheet.unapplied if c > 0]) * len([d for d in sheet.balances[place] if d > 0])
            prorated = what == "proration" and cells <= limit
            book = a_book(application_rule=ApplicationRule[what.upper()], proration_limit=limit)
            asked = applying(memo, (targets[place], amount(total)))
            after = settlement.apply(memo, [targets[place]], asked, book, a_stamp())
            memo, targets[place] = after.memo, after.targets[0]
            sheet.apply(place, total, currency.unit if prorated else None)

        assert [line.unapplied for line in memo.lines] == sheet.unapplied
        for target, balances, entries in zip(targets, sheet.balances, sheet.lying, strict=True):
            assert [line.balance for line in target.lines] == balances
            assert lying(memo, target) == entries


def refunded(memo: CreditMemo, total: int) -> CreditMemo:
    command = RefundCreditMemo(
        key=Key(memo.id),
        type=RefundType.EXTERNAL,
        method_type=PaymentMethodType.CASH,
        total_amount=Decimal(total) / SCALE,
    )
    plan = refunds.prepare(memo, command, None, None, a_book(), a_stamp())
    return refunds.refund(plan, None, "R-1", a_stamp()).memo


@given(
    currency=st.sampled_from(CURRENCIES),
    credits=lines,
    debts=lines,
    sources=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    names=st.lists(st.sampled_from(["VAT", "GST"]), min_size=16, max_size=16),
    limit=st.sampled_from([1, 10_000]),
    data=st.data(),
)
def test_the_source_rule_puts_lines_where_the_clerk_puts_them_or_refuses_with_the_clerk(
    currency: Currency, credits: Any, debts: Any, sources: list[int], names: list[str], limit: int, data: st.DataObject
) -> None:
    invoice = a_target(*lines_of(debts, currency), currency=currency.code)
    named = iter(names)
    invoice = replace(
        invoice,
        lines=tuple(line._replace(name=next(named)) if line.is_tax else line for line in invoice.lines),
    )
    own = [line.id for line in invoice.lines if not line.is_tax]
    memo = memo_of(credits, currency)
    memo = replace(
        memo,
        items=tuple(
            replace(
                item,
                source_item_type=ItemSourceType.INVOICE_DETAIL if source < len(own) else item.source_item_type,
                source_item_id=own[source] if source < len(own) else item.source_item_id,
                taxation_items=tuple(replace(tax, name=next(named)) for tax in item.taxation_items),
            )
            for item, source in zip(memo.items, sources, strict=False)
        ),
    )
    made_from = [own[source] if source < len(own) else None for source in sources]
    likes = [
        like
        for item, source in zip(memo.items, made_from, strict=False)
        for like in (source, *((source, tax.name) if source else None for tax in item.taxation_items))
    ]
    most = min(memo.unapplied, invoice.balance)
    total = data.draw(st.just(most) | st.integers(1, most // currency.cent).map(lambda n: n * currency.cent), "total")
    command = applying(memo, (invoice, amount(total)), application_rule=ApplicationRule.SOURCE_ITEM)
    book = a_book(proration_limit=limit)

    expected = clerk.by_source(
        [(line.unapplied, like) for line, like in zip(memo.lines, likes, strict=True)],
        [(line.balance, (line.item_id, line.name) if line.is_tax else line.id) for line in invoice.lines],
        total,
        currency.unit,
        limit,
    )

    if isinstance(expected, str):
        with pytest.raises(Refusal) as caught:
            settlement.apply(memo, [invoice], command, book, a_stamp())
        assert [fault.code for fault in caught.value.faults] == [expected]
    else:
        after = settlement.apply(memo, [invoice], command, book, a_stamp())
        assert dict(lying(after.memo, invoice)) == expected
