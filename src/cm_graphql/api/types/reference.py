"""The catalog, and what a tenant configures, as clients read it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import strawberry
from sqlalchemy import Select, select

from cm_graphql.api.types.shared import AUDIT, CUSTOM_FIELDS, FINANCE
from cm_graphql.fields.declare import Node, Order, column, loaded, node
from cm_graphql.store import tables as t
from cm_graphql.store.lists import among

__all__ = ["AccountingPeriod", "ProductRatePlanCharge", "ProductRatePlanChargePrice", "ReasonCode"]


@strawberry.type(description="What a charge costs in one currency.")
class ProductRatePlanChargePrice:
    """A price of a charge."""

    currency: str = strawberry.field(description="The ISO 4217 code.")
    price: Decimal = strawberry.field(
        description="The flat fee, or the price of one unit; it may have more decimals than the currency."
    )


def _prices(dialect: str, charges: Sequence[str]) -> Select[Any]:
    prices = t.product_rate_plan_charge_prices
    return (
        select(prices.c.charge_id, prices.c.currency, prices.c.price)
        .where(among(dialect, prices.c.charge_id, charges))
        .order_by(prices.c.charge_id, prices.c.currency)
    )


@node(
    "chg",
    t.product_rate_plan_charges,
    description="A charge of the product catalog, from which credit memos can be made without an invoice.",
    scope="documents:read",
    filters=(
        "id",
        "name",
        "sku",
        "charge_model",
        "charge_type",
        "taxable",
        "tax_mode",
        "tax_code",
        "effective_start_date",
        "effective_end_date",
        "created_date",
        "updated_date",
    ),
    sorts=(
        "name",
        "sku",
        "charge_model",
        "charge_type",
        "effective_start_date",
        "effective_end_date",
        "created_date",
        "updated_date",
    ),
    search=(t.product_rate_plan_charges.c.name, t.product_rate_plan_charges.c.sku),
    order=(Order("name"),),
    also={**FINANCE, **CUSTOM_FIELDS, **AUDIT},
)
class ProductRatePlanCharge(Node):
    """A charge of the catalog (domain.md 2.9)."""

    name = column("The name.")
    sku = column("The SKU of its product.")
    charge_model = column("How it is priced; discounts cannot be credited.")
    charge_type = column("When it is billed.")
    unit_of_measure = column("What a unit is.")
    taxable = column("Whether it is taxed.")
    tax_mode = column("Whether its prices contain the tax; null when it is not taxed.")
    tax_code = column("The tax code.")
    effective_start_date = column("The first day of its plan; the default of a credit memo line's service start.")
    effective_end_date = column("The last day of its plan; the default of a credit memo line's service end.")

    prices = loaded(
        "Its prices, by currency.",
        type=list[ProductRatePlanChargePrice],
        statement=_prices,
        of=lambda rows: [ProductRatePlanChargePrice(currency=currency, price=price) for _, currency, price in rows],
    )


@node(
    "rc",
    t.reason_codes,
    description="A reason that documents can be made for; documents refer to it by its name.",
    scope="settings:read",
    filters=("id", "name", "type", "active", "is_default"),
    sorts=("name", "type", "created_date", "updated_date"),
    order=(Order("type"), Order("name")),
    also=AUDIT,
)
class ReasonCode(Node):
    """A reason code (domain.md 2.9)."""

    name = column("The name.")
    type = column("Which documents it is for.")
    active = column("Whether new documents can have it.")
    is_default = column("Whether documents without a reason get it.")


@node(
    "per",
    t.accounting_periods,
    description="A span of days that is closed as a whole; no action may be dated within a closed one.",
    scope="settings:read",
    filters=("id", "name", "start_date", "end_date", "status"),
    sorts=("name", "start_date", "end_date", "status", "created_date", "updated_date"),
    order=(Order("start_date"),),
    also=AUDIT,
)
class AccountingPeriod(Node):
    """An accounting period (domain.md 2.9)."""

    name = column("The name.")
    start_date = column("The first day.")
    end_date = column("The last day.")
    status = column("Whether it still takes entries.")
