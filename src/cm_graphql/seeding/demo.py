"""The small, hand-made data of the tour: four customers, their invoices, and credit memos in several statuses.

Ids and numbers never change, so that documentation can name them; everything is done by the actions that clients
call, at moments of early 2026.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import (
    CreateCreditMemoFromCharges,
    CreateCreditMemoFromInvoice,
    CreditMemoItemFromCharge,
    CreditMemoItemFromInvoice,
)
from cm_graphql.domain.commands.lifecycle import CancelCreditMemo
from cm_graphql.domain.commands.settlement import ApplyCreditMemo, InvoiceApplication
from cm_graphql.domain.records import Stamp
from cm_graphql.operations import creation, intake, lifecycle, reference, settlement
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Viewer
from cm_graphql.seeding import tour
from cm_graphql.settings import Complaint
from cm_graphql.store import tables as t
from cm_graphql.store.database import Database
from cm_graphql.store.reference import rulebook
from cm_graphql.store.session import Session

_VIEWER: Final = Viewer("usr_demo")


async def demo(database: Database) -> None:
    """Add the data of the tour, all of it or none; where it is already there, do nothing.

    Raises Complaint when its numbers are taken by other documents.
    """

    async def work(connection: AsyncConnection) -> None:
        session = Session(connection, database.dialect)
        if await session.scalar(select(t.accounts.c.id).where(t.accounts.c.id == tour.ACME)) is None:
            await _refuse_taken_numbers(session)
            await _tell(session)

    await database.transact(work)


async def _refuse_taken_numbers(session: Session) -> None:
    taken = await session.scalar(select(t.credit_memos.c.number).where(t.credit_memos.c.number == "CM00000001"))
    taken = taken or await session.scalar(
        select(t.invoices.c.invoice_number).where(t.invoices.c.invoice_number == "INV00000001")
    )
    if taken is not None:
        raise Complaint(f"The sample data needs the number {taken}, which is taken: use an empty database for it.")


async def _tell(session: Session) -> None:
    """Let everything happen in its order."""
    new_id = _ids()

    async def on(day: date) -> Unit:
        """What somebody works with at noon of a day."""
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        stamp = Stamp(by=_VIEWER.id, at=at, today=day, new_id=new_id)
        return Unit(session, _VIEWER, stamp, await rulebook(session))

    unit = await on(date(2026, 1, 2))
    await reference.update_settings.run(unit, tour.LETTERHEAD)
    for period in tour.PERIODS:
        await reference.sync_accounting_periods.run(unit, period)
    for account in tour.ACCOUNTS:
        await intake.sync_accounts.run(unit, account)
    for method in tour.PAYMENT_METHODS:
        await intake.sync_payment_methods.run(unit, method)
    for charge in tour.CHARGES:
        await intake.sync_product_rate_plan_charges.run(unit, charge)
    for invoice in tour.INVOICES:
        await intake.sync_invoices.run(await on(invoice.invoice_date), invoice)
    await intake.sync_debit_memos.run(await on(tour.DEBIT_MEMO.debit_memo_date), tour.DEBIT_MEMO)
    await _credit(on_march=[await on(date(2026, 3, day)) for day in (2, 3, 4, 5, 6)])


async def _credit(on_march: list[Unit]) -> None:
    """Make CM00000001, posted and partly applied, CM00000002, a draft, CM00000003, canceled, and CM00000004, posted."""
    second, third, fourth, fifth, sixth = on_march
    await creation.from_invoice.run(
        second,
        CreateCreditMemoFromInvoice(
            invoice_key=Key("INV00000003"),
            items=(
                CreditMemoItemFromInvoice(
                    invoice_item_id=tour.line("ini", 3, 1), sku_name="Team plan", amount=Decimal("220.00")
                ),
            ),
            comment="Four seats were returned in the first week",
            reason_code="Unsatisfactory Service",
            auto_post=True,
        ),
    )
    await settlement.apply.run(
        third,
        ApplyCreditMemo(
            key=Key("CM00000001"),
            invoices=(InvoiceApplication(invoice_key=Key("INV00000003"), amount=Decimal("100.00")),),
        ),
    )
    await creation.from_invoice.run(
        fourth,
        CreateCreditMemoFromInvoice(
            invoice_key=Key("INV00000005"),
            items=(
                CreditMemoItemFromInvoice(
                    invoice_item_id=tour.line("ini", 5, 1), sku_name="Team plan", amount=Decimal(8000)
                ),
            ),
            comment="請求書の席数が誤っていたため",
        ),
    )
    await creation.from_charges.run(
        fourth,
        CreateCreditMemoFromCharges(
            account_key=Key(tour.ACME),
            charges=(CreditMemoItemFromCharge(product_rate_plan_charge_id=tour.SUPPORT, amount=Decimal("25.00")),),
            comment="Goodwill, withdrawn on the phone",
            reason_code="Ad hoc Credit",
        ),
    )
    await lifecycle.cancel.run(fifth, CancelCreditMemo(key=Key("CM00000003")))
    await creation.from_invoice.run(
        sixth,
        CreateCreditMemoFromInvoice(
            invoice_key=Key("INV00000006"),
            items=(
                CreditMemoItemFromInvoice(
                    invoice_item_id=tour.line("ini", 6, 1), sku_name="Onboarding", amount=Decimal("10.500")
                ),
            ),
            auto_post=True,
        ),
    )


def _ids() -> Callable[[str], str]:
    """Ids that count up, each kind by itself: `cm_00000000000000000000000000000001`."""
    used: Counter[str] = Counter()

    def new_id(prefix: str) -> str:
        used[prefix] += 1
        return f"{prefix}_{used[prefix]:032x}"

    return new_id
