"""What tutorials lead to: Strawberry, the ORM of SQLAlchemy, a session per loader call, and DataLoaders against N+1."""

import os
import sys
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import strawberry
import uvicorn
from sqlalchemy import BigInteger, Computed, DateTime, ForeignKey, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader

from benchmarks.peers.shaping import day, moment, money, scaled

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=16,
    max_overflow=0,
    connect_args={"server_settings": {"jit": "off"}},
)
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables, as far as they are read."""

    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}  # noqa: RUF012  the way the ORM wants it


class MemoRow(Base):
    """A credit memo."""

    __tablename__ = "credit_memos"
    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    status: Mapped[str]
    credit_memo_date: Mapped[date]
    currency: Mapped[str]
    amount: Mapped[int]
    applied_amount: Mapped[int]
    unapplied_amount: Mapped[int] = mapped_column(Computed("amount - applied_amount - refund_amount"))
    reason_code: Mapped[str | None]
    comment: Mapped[str | None]
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    version: Mapped[int]
    updated_date: Mapped[datetime]


class AccountRow(Base):
    """An account."""

    __tablename__ = "accounts"
    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    name: Mapped[str]
    currency: Mapped[str]


class ItemRow(Base):
    """A line."""

    __tablename__ = "credit_memo_items"
    id: Mapped[str] = mapped_column(primary_key=True)
    credit_memo_id: Mapped[str]
    currency: Mapped[str]
    sku_name: Mapped[str]
    description: Mapped[str | None]
    amount: Mapped[int]
    quantity: Mapped[int | None]
    unit_price: Mapped[int | None]
    service_start_date: Mapped[date | None]
    service_end_date: Mapped[date | None]
    unapplied_amount: Mapped[int] = mapped_column(Computed("0"))
    updated_date: Mapped[datetime]


class TaxRow(Base):
    """A taxation item."""

    __tablename__ = "credit_memo_taxation_items"
    id: Mapped[str] = mapped_column(primary_key=True)
    memo_item_id: Mapped[str]
    position: Mapped[int]
    currency: Mapped[str]
    name: Mapped[str]
    tax_amount: Mapped[int]
    tax_rate: Mapped[int]
    jurisdiction: Mapped[str]
    tax_date: Mapped[date | None]


class PartRow(Base):
    """A part."""

    __tablename__ = "credit_memo_parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    credit_memo_id: Mapped[str]
    currency: Mapped[str]
    amount: Mapped[int]
    invoice_id: Mapped[str | None]
    created_date: Mapped[datetime]
    created_by_id: Mapped[str]
    updated_by_id: Mapped[str]
    updated_date: Mapped[datetime]


class InvoiceRow(Base):
    """An invoice."""

    __tablename__ = "invoices"
    id: Mapped[str] = mapped_column(primary_key=True)
    credit_amount: Mapped[int]


# --- GraphQL ----------------------------------------------------------------------------------------------------------


def loading_one(table: Any) -> DataLoader[str, Any]:
    """A loader of rows by id."""

    async def load(keys: list[str]) -> Sequence[Any]:
        async with sessions() as session:
            rows = (await session.scalars(select(table).where(table.id.in_(keys)))).all()
        found = {row.id: row for row in rows}
        return [found.get(key) for key in keys]

    return DataLoader(load)


def loading_many(table: Any, by: Any, *order: Any) -> DataLoader[str, Any]:
    """A loader of the rows that point to something."""

    async def load(keys: list[str]) -> Sequence[Any]:
        async with sessions() as session:
            rows = (await session.scalars(select(table).where(by.in_(keys)).order_by(*order))).all()
        found: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            found[getattr(row, by.key)].append(row)
        return [found[key] for key in keys]

    return DataLoader(load)


def money_of(name: str) -> Any:
    """A field of money, in its row's currency."""

    def resolve(root: Any) -> str:
        return money(getattr(root, name), root.currency)

    return strawberry.field(resolver=resolve)


def day_of(name: str) -> Any:
    """A field of a day."""

    def resolve(root: Any) -> str | None:
        return day(getattr(root, name))

    return strawberry.field(resolver=resolve)


def moment_of(name: str) -> Any:
    """A field of a moment."""

    def resolve(root: Any) -> str:
        return moment(getattr(root, name))

    return strawberry.field(resolver=resolve)


def number_of(name: str) -> Any:
    """A field of a scaled number."""

    def resolve(root: Any) -> str | None:
        return scaled(getattr(root, name))

    return strawberry.field(resolver=resolve)


@strawberry.type
class Account:
    """An account."""

    id: strawberry.ID
    number: str
    name: str
    currency: str


@strawberry.type
class Tax:
    """A taxation item."""

    id: strawberry.ID
    name: str
    jurisdiction: str
    tax_amount: str = money_of("tax_amount")
    tax_rate: str | None = number_of("tax_rate")
    tax_date: str | None = day_of("tax_date")


@strawberry.type
class Taxes:
    """Taxation items."""

    nodes: list[Tax]


@strawberry.type
class Item:
    """A line."""

    id: strawberry.ID
    sku_name: str
    description: str | None
    amount: str = money_of("amount")
    unapplied_amount: str = money_of("unapplied_amount")
    quantity: str | None = number_of("quantity")
    unit_price: str | None = number_of("unit_price")
    service_start_date: str | None = day_of("service_start_date")
    service_end_date: str | None = day_of("service_end_date")

    @strawberry.field
    async def taxation_items(self, info: strawberry.Info) -> Taxes:
        """Its taxes."""
        return Taxes(nodes=await info.context["taxes"].load(self.id))


@strawberry.type
class Items:
    """Lines."""

    nodes: list[Item]


@strawberry.type
class Part:
    """A part."""

    id: strawberry.ID
    invoice_id: strawberry.ID | None
    amount: str = money_of("amount")
    created_date: str = moment_of("created_date")


@strawberry.type
class Parts:
    """Parts."""

    nodes: list[Part]


@strawberry.type
class Memo:
    """A credit memo."""

    id: strawberry.ID
    number: str
    status: str
    currency: str
    reason_code: str | None
    comment: str | None
    account_id: strawberry.ID
    credit_memo_date: str | None = day_of("credit_memo_date")
    amount: str = money_of("amount")
    applied_amount: str = money_of("applied_amount")
    unapplied_amount: str = money_of("unapplied_amount")
    updated_date: str = moment_of("updated_date")

    @strawberry.field
    async def account(self, info: strawberry.Info) -> Account:
        """The account."""
        found: Account = await info.context["accounts"].load(self.account_id)
        return found

    @strawberry.field
    async def items(self, info: strawberry.Info) -> Items:
        """The lines."""
        return Items(nodes=await info.context["items"].load(self.id))

    @strawberry.field
    async def parts(self, info: strawberry.Info) -> Parts:
        """The parts."""
        return Parts(nodes=await info.context["parts"].load(self.id))


@strawberry.type
class PageInfo:
    """Where a page lies."""

    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Memos:
    """A page of memos."""

    nodes: list[Memo]
    page_info: PageInfo


@strawberry.enum
class MemoStatus(Enum):
    """Where a memo stands."""

    DRAFT = "DRAFT"
    POSTED = "POSTED"
    CANCELED = "CANCELED"


@strawberry.input
class StatusFilter:
    """A condition on the status."""

    eq: MemoStatus


@strawberry.input
class Filter:
    """Conditions."""

    status: StatusFilter


@strawberry.enum
class SortField(Enum):
    """What is sorted by."""

    CREDIT_MEMO_DATE = "credit_memo_date"


@strawberry.enum
class Direction(Enum):
    """In which direction."""

    DESC = "desc"


@strawberry.input
class Sort:
    """An order."""

    field: SortField
    direction: Direction


@strawberry.type
class Query:
    """What can be read."""

    @strawberry.field
    async def credit_memo(self, key: strawberry.ID) -> Memo | None:
        """One memo."""
        async with sessions() as session:
            found: Any = await session.get(MemoRow, key)
        return found  # type: ignore[no-any-return]

    @strawberry.field
    async def credit_memos(self, first: int, filter: Filter, sort: list[Sort], after: str | None = None) -> Memos:
        """A page of memos."""
        status: Any = filter.status.eq
        wanted = select(MemoRow).where(MemoRow.status == status.value)
        if after is not None:
            text, key = after.split("|")
            place = tuple_(MemoRow.credit_memo_date, MemoRow.id)
            wanted = wanted.where(place < tuple_(date.fromisoformat(text), key))
        wanted = wanted.order_by(MemoRow.credit_memo_date.desc(), MemoRow.id.desc()).limit(first + 1)
        async with sessions() as session:
            rows: Any = (await session.scalars(wanted)).all()
        last = rows[:first][-1] if rows else None
        cursor = None if last is None else f"{last.credit_memo_date}|{last.id}"
        return Memos(nodes=rows[:first], page_info=PageInfo(has_next_page=len(rows) > first, end_cursor=cursor))


@strawberry.input
class InvoiceApplication:
    """What goes to an invoice."""

    invoice_key: strawberry.ID
    amount: Decimal


@strawberry.input
class ApplyInput:
    """What is applied to what."""

    key: strawberry.ID
    invoices: list[InvoiceApplication]


@strawberry.type
class UserError:
    """What was wrong."""

    code: str


@strawberry.type
class ApplyPayload:
    """What became of it."""

    credit_memo: Memo
    user_errors: list[UserError]


@strawberry.type
class Mutation:
    """What can be done."""

    @strawberry.mutation
    async def apply_credit_memo(self, input: ApplyInput) -> ApplyPayload:
        """Apply a memo to an invoice, believing whatever the caller says."""
        asked = input.invoices[0]
        stored = int(asked.amount * 10_000)
        now = datetime.now(UTC)
        async with sessions.begin() as session:
            memo: Any = await session.get_one(MemoRow, input.key, with_for_update=True)
            invoice = await session.get_one(InvoiceRow, asked.invoice_key, with_for_update=True)
            invoice.credit_amount += stored
            memo.applied_amount += stored
            memo.version += 1
            memo.updated_date = now
            await session.flush()
            part = insert(PartRow).values(
                id=f"cmp_{uuid.uuid4().hex}",
                credit_memo_id=memo.id,
                currency=memo.currency,
                amount=stored,
                invoice_id=invoice.id,
                created_date=now,
                created_by_id="usr_bench",
                updated_by_id="usr_bench",
                updated_date=now,
            )
            await session.execute(
                part.on_conflict_do_update(
                    index_elements=["credit_memo_id", "invoice_id"], set_={"amount": PartRow.amount + stored}
                )
            )
            await session.refresh(memo)
        return ApplyPayload(credit_memo=memo, user_errors=[])


class Endpoint(GraphQL[Any, Any]):
    """The endpoint, with loaders of its own for each request."""

    async def get_context(self, request: Any, response: Any) -> Any:
        """Make the loaders."""
        return {
            "accounts": loading_one(AccountRow),
            "items": loading_many(ItemRow, ItemRow.credit_memo_id, ItemRow.updated_date.desc(), ItemRow.id.desc()),
            "taxes": loading_many(TaxRow, TaxRow.memo_item_id, TaxRow.position, TaxRow.id),
            "parts": loading_many(PartRow, PartRow.credit_memo_id, PartRow.created_date, PartRow.id),
        }


def main() -> None:
    """Serve at the port of the first argument."""
    app = Starlette()
    endpoint: Any = Endpoint(strawberry.Schema(Query, Mutation))
    app.add_route("/graphql", endpoint)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
