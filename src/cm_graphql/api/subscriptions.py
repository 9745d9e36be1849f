"""What clients can watch: one job until it ends, and the credit memos that a filter finds."""

from collections.abc import AsyncGenerator, Hashable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Final, cast

import strawberry
from sqlalchemy import Column, ColumnElement, Date, Select, and_, literal, select
from sqlalchemy import cast as cast_sql
from sqlalchemy.sql import visitors
from strawberry.annotation import StrawberryAnnotation

from cm_graphql.api.context import Context
from cm_graphql.api.errors import ApiError, Code
from cm_graphql.api.types.credit_memos import CreditMemo
from cm_graphql.api.types.history import CreditMemoEvent, CreditMemoJob
from cm_graphql.fields.declare import NAMES
from cm_graphql.fields.filters import condition, filter_input
from cm_graphql.fields.ids import id_of
from cm_graphql.fields.loaders import Source
from cm_graphql.store import tables as t
from cm_graphql.store.bus import Listener, TooSlow
from cm_graphql.store.jobs import FINAL
from cm_graphql.store.types import Timestamp

LOOK_AGAIN_SECONDS: Final = 5.0
"""After so long a watched job is looked at although nothing was told of it: telling may fail, jobs must not hang."""

MEMOS: Final = CreditMemo.__node__


@strawberry.type(description="A change of a credit memo that a subscription's filter finds before it or after it.")
class CreditMemoChange:
    """A change of a memo (api.md, Subscriptions)."""

    event: CreditMemoEvent = strawberry.field(description="What happened.")
    credit_memo: CreditMemo | None = strawberry.field(
        description="The memo as it is now, which may be later than the event; null after a delete."
    )


@strawberry.type(description="What can be watched, over graphql-transport-ws or server-sent events.")
class Subscription:
    """The root of all watching."""

    @strawberry.subscription(
        description="Tells where a job stands, at once and whenever that changes; ends after a final status, and at "
        "once when there is no such job."
    )
    async def credit_memo_job_changed(
        self, info: strawberry.Info, id: Annotated[strawberry.ID, strawberry.argument(description="The job.")]
    ) -> AsyncGenerator[CreditMemoJob, None]:
        """Look at the job now, and again whenever it was told of."""
        context, job_id = cast(Context, info.context), id_of(id, "cmj")
        shown: Any = None
        with context.api.bus.listening(job_id) as listener:
            while True:
                job = await context.anew().node(CreditMemoJob.__node__, job_id)
                if job is None:
                    return
                state = (job.raw("status"), job.raw("lines_done"), job.raw("lines_total"), job.raw("cancel_requested"))
                if state != shown:
                    shown = state
                    yield job
                if job.raw("status") in FINAL:
                    return
                await _heard(listener, LOOK_AGAIN_SECONDS)

    @strawberry.subscription(
        description="Tells of every change of a credit memo that the filter finds before the change or after it."
    )
    async def credit_memo_changed(
        self, info: strawberry.Info, filter: Any = None
    ) -> AsyncGenerator[CreditMemoChange, None]:
        """Ask of every entry of the history whether the filter finds its memo, as it was or as it is."""
        context = cast(Context, info.context)
        context.require("credit_memos:read")
        wanted = condition(MEMOS, filter)
        asked = None if filter is None else repr(filter)  # which tells those apart who want something else
        with context.api.bus.listening("cme_") as listener:
            while True:
                for event_id in await _heard(listener):
                    change = await _change(context, event_id, wanted, asked)
                    if change is not None:
                        yield change


_filter: Any = next(
    argument
    for field in Subscription.__strawberry_definition__.fields  # type: ignore[attr-defined]  # the decorator adds it
    for argument in field.arguments
    if argument.python_name == "filter"
)
_filter.type_annotation = StrawberryAnnotation(
    "CreditMemoFilter | None", namespace={"CreditMemoFilter": filter_input(MEMOS)}
)
_filter.description = "Which credit memos; all unless given."
NAMES["CreditMemoChange"] = CreditMemoChange


async def _heard(listener: Listener, patience: float | None = None) -> list[str]:
    try:
        return await listener.heard(patience)
    except TooSlow:
        raise ApiError(
            "More happened than this subscription can be told: read what you missed, and subscribe again.",
            Code.LIMIT_EXCEEDED,
        ) from None


async def _change(
    context: Context, event_id: str, wanted: ColumnElement[bool], asked: Hashable
) -> CreditMemoChange | None:
    """The change that an entry of the history tells of; nothing where the filter does not find it or it is hidden."""
    loaders = context.anew_after(event_id)
    event = await loaders.node(CreditMemoEvent.__node__, event_id)
    if event is None:
        return None
    memo_id = event.raw("credit_memo_id")

    async def find(ids: list[str]) -> list[bool]:
        return [await _finds(loaders.source, memo_id, entry, wanted) for entry in ids]

    if asked is not None and not await loaders.loader(("found", asked), find).load(event_id):
        return None
    return CreditMemoChange(event=event, credit_memo=await loaders.node(MEMOS, memo_id))


async def _finds(source: Source, memo_id: str, event_id: str, wanted: ColumnElement[bool]) -> bool:
    """Whether a filter finds a memo as it is, or as it was before the event."""
    memos, entry = t.credit_memos.c, t.credit_memo_events.c
    if await source.rows(select(memos.id).where(memos.id == memo_id, wanted)):
        return True
    (stored,) = await source.rows(select(entry.changed_from).where(entry.id == event_id))
    return stored.changed_from is not None and bool(await source.rows(_before(memo_id, stored.changed_from, wanted)))


def _before(memo_id: str, changed_from: Mapping[str, Any], wanted: ColumnElement[bool]) -> Select[Any]:
    """Ask whether a filter finds a memo as it was: its row as it is, save for what the change replaced."""
    memos = t.credit_memos
    deleted = "id" in changed_from
    columns = [
        cast_sql(_value(column, changed_from.get(column.name)), column.type).label(column.name)
        if deleted or column.name in changed_from
        else column
        for column in memos.c
    ]
    rows = select(*columns) if deleted else select(*columns).where(memos.c.id == memo_id)
    was = rows.subquery("was")

    def instead(element: Any, **_more: Any) -> Any:
        return was.c[element.name] if isinstance(element, Column) and element.table is memos else None

    return select(was.c.id).where(and_(visitors.replacement_traverse(wanted, {}, instead)))


def _value(column: Column[Any], value: Any) -> ColumnElement[Any]:
    if isinstance(value, str) and isinstance(column.type, Timestamp):
        value = datetime.fromisoformat(value)
    elif isinstance(value, str) and isinstance(column.type, Date):
        value = date.fromisoformat(value)
    return literal(value, column.type)
