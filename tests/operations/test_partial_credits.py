"""Credits of an invoice, however it is cut up, are together exactly the invoice, line by line and tax by tax."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import CreateCreditMemoFromInvoice, CreditMemoItemFromInvoice
from cm_graphql.domain.enums import TaxEngineKind
from cm_graphql.operations import creation
from cm_graphql.store import tables as t
from databases import Databases, Kind, chosen_kinds
from operating import Desk, a_desk, money

cuts = st.lists(st.integers(1, 4_000), min_size=1, max_size=4)


async def credit_all(desk: Desk, first: list[int], second: list[int], taxes: tuple[int, int]) -> None:
    """Bill two items, credit them piece by piece, the pieces of both in turns, and see that nothing is left."""
    worth = [f"{Decimal(sum(pieces)) / 100:.2f}" for pieces in (first, second)]
    tax = [f"{Decimal(cents) / 100:.2f}" for cents in taxes]
    invoice = await desk.invoice([worth[0], *tax], [worth[1], tax[0]], engine=TaxEngineKind.ZUORA_TAX)
    items = await desk.lines_of(invoice)
    longest = max(len(first), len(second))
    memos = []
    for place in range(longest):
        lines = tuple(
            CreditMemoItemFromInvoice(invoice_item_id=Key(item), sku_name="Seats", amount=Decimal(pieces[place]) / 100)
            for item, pieces in zip(items, (first, second), strict=True)
            if place < len(pieces)
        )
        command = CreateCreditMemoFromInvoice(invoice_key=Key(invoice), items=lines, auto_post=True)
        memos.append(await desk.memo((await desk.do(creation.from_invoice, command))["credit_memo"]))
    row = await desk.row(t.invoices, id=invoice)
    assert sum(memo.amount for memo in memos) == row.amount, [money(memo) for memo in memos]
    assert sum(memo.tax_amount for memo in memos) == row.tax_amount
    for source in await desk.rows(t.invoice_taxation_items, invoice_id=invoice):
        credited = await desk.rows(t.credit_memo_taxation_items, source_tax_item_id=source.id)
        assert sum(line.tax_amount for line in credited) == source.tax_amount


@pytest.mark.parametrize("kind", chosen_kinds())
def test_partial_credits_are_together_exactly_the_invoice(databases: Databases, kind: Kind) -> None:
    with databases.fresh(kind) as url, asyncio.Runner() as runner:
        opened = a_desk(url)
        desk = runner.run(opened.__aenter__())
        usual = settings.default
        assert usual is not None

        @settings(max_examples=max(usual.max_examples // 5, 1))
        @given(cuts, cuts, st.tuples(st.integers(0, 900), st.integers(0, 900)))
        def credit(first: list[int], second: list[int], taxes: tuple[int, int]) -> None:
            runner.run(credit_all(desk, first, second, taxes))

        try:
            credit()
        finally:
            runner.run(opened.__aexit__(None, None, None))
