"""What actions need of the world outside the database; the wiring fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import uuid_utils

from cm_graphql.domain.billing import Account
from cm_graphql.domain.charges import Quotes, TaxableLine
from cm_graphql.domain.enums import PaymentMethodType
from cm_graphql.domain.money import Currency
from cm_graphql.domain.refunds import GatewayAnswer


class Clock(Protocol):
    """The time, which tests and demos can freeze."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        ...

    def today(self, time_zone: str) -> date:
        """Today's date in a time zone."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock; with `frozen` the date stands still while moments go on."""

    frozen: date | None = None

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    def today(self, time_zone: str) -> date:
        """Today's date in a time zone, or the frozen one."""
        return self.frozen or datetime.now(ZoneInfo(time_zone)).date()


def new_id(prefix: str) -> str:
    """A new id of a kind; ids sort in the order they were made."""
    return f"{prefix}_{uuid_utils.uuid7().hex}"


# --- the payment gateway ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GatewayRefund:
    """What a payment gateway is asked to send back to a customer."""

    idempotency_key: str
    """The refund's id, or nothing where a dry run asks. Asked again under it, a gateway only repeats its answer."""
    number: str
    account_id: str
    payment_method_id: str
    method_type: PaymentMethodType
    amount: int
    """In ten-thousandths of the currency's main unit, above 0."""
    currency: Currency
    gateway_id: str | None = None
    """The gateway that the request or the account names; nothing for the default."""
    options: Mapping[str, str] = field(default_factory=dict)
    reference_id: str | None = None
    soft_descriptor: str | None = None
    soft_descriptor_phone: str | None = None


class GatewayUnreachable(Exception):
    """A gateway did not answer, so that nobody knows yet whether the money went: it has to be asked again."""


class Gateway(Protocol):
    """Sends money back (domain.md 1.22)."""

    async def refund(self, asked: GatewayRefund) -> GatewayAnswer:
        """Send the money, or say why not; raise GatewayUnreachable when that cannot be known."""
        ...

    async def foresee(self, asked: GatewayRefund) -> GatewayAnswer | None:
        """Say what `refund` would answer, without moving money; nothing where only trying would tell.

        For dry runs. What is asked about has no number and no key yet.
        """
        ...


# --- tax engines ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TaxInquiry:
    """Lines of one memo that a tax engine shall price."""

    lines: tuple[TaxableLine, ...]
    account: Account
    currency: Currency
    day: date
    """The memo's date."""


class TaxEngineFailed(Exception):
    """A tax engine could not price what it was asked; the message is for the caller."""


class TaxEngine(Protocol):
    """Prices the tax of lines made from charges (domain.md 7.23)."""

    async def price(self, inquiry: TaxInquiry) -> Quotes:
        """The taxes of each line, under its key; raise TaxEngineFailed where there is no answer."""
        ...
