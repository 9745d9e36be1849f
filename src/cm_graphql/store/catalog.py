"""What drafts that stand alone are made from, many at once: charges of the catalog, and the tenant's tax rates."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from sqlalchemy import select

from cm_graphql.domain.billing import Charge, TaxRate
from cm_graphql.store import bulk
from cm_graphql.store import tables as t
from cm_graphql.store.memos import LINE_FINANCE, finance
from cm_graphql.store.session import Session


async def charges(session: Session, ids: Iterable[str]) -> dict[str, Charge]:
    """The charges of these ids that there are, with their prices."""
    wanted = sorted(set(ids))
    found: dict[str, Charge] = {}
    for start in range(0, len(wanted), bulk.CHUNK):
        found.update(await _charges(session, wanted[start : start + bulk.CHUNK]))
    return found


async def _charges(session: Session, ids: list[str]) -> dict[str, Charge]:
    table, prices = t.product_rate_plan_charges, t.product_rate_plan_charge_prices
    priced: defaultdict[str, dict[str, Decimal]] = defaultdict(dict)
    for row in await session.rows(select(prices).where(prices.c.charge_id.in_(ids))):
        priced[row.charge_id][row.currency] = row.price
    return {
        row.id: Charge(
            id=row.id,
            name=row.name,
            charge_model=row.charge_model,
            charge_type=row.charge_type,
            prices=priced[row.id],
            sku=row.sku,
            unit_of_measure=row.unit_of_measure,
            taxable=row.taxable,
            tax_mode=row.tax_mode,
            tax_code=row.tax_code,
            effective_start_date=row.effective_start_date,
            effective_end_date=row.effective_end_date,
            finance=finance(row, LINE_FINANCE),
        )
        for row in await session.rows(select(table).where(table.c.id.in_(ids)))
    }


async def tax_rates(session: Session, codes: Iterable[str]) -> list[TaxRate]:
    """The rates of these tax codes, always in the same order."""
    rates = t.tax_rates
    wanted = sorted(set(codes))
    statement = select(rates).where(rates.c.tax_code.in_(wanted))
    return [
        TaxRate(
            tax_code=row.tax_code,
            jurisdiction=row.jurisdiction,
            name=row.name,
            rate=row.rate,
            location_code=row.location_code,
        )
        for row in await session.rows(statement.order_by(rates.c.tax_code, rates.c.jurisdiction, rates.c.name))
    ]
