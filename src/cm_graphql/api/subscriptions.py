"""What clients can watch: one job until it ends, and the credit memos that a filter finds."""

from collections.abc import AsyncGenerator, Hashable, Mapping, Set
from datetime import date, datetime
from typing import Annotated, Any, Final, cast

import strawberry
from sqlalchemy import Column, ColumnElement, Date, Select, and_, literal, select, tuple_
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

MOST_EARLIER: Final = 50
"""So many entries before an event are looked through for the one that wrote the memo's row last."""

_STAMPED: Final = frozenset({"created_by_id", "created_date", "updated_by_id", "updated_date"})
"""What the history tells of a memo by its own entries, and not among what they replaced."""

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
    """Whether a filter finds a memo as it was right after an event, or right before it, whatever happened since."""
    while True:
        newest = await _newest(source, memo_id)
        after, before = await _states(source, memo_id, event_id, _named(wanted))
        found = False
        for state in (after, before):
            found = found or (state is not None and bool(await source.rows(_in_state(memo_id, state, wanted))))
        if newest == await _newest(source, memo_id):  # else its row may be of another moment than the history
            return found


async def _newest(source: Source, memo_id: str) -> Any:
    entry = t.credit_memo_events.c
    return await source.rows(
        select(entry.id).where(entry.credit_memo_id == memo_id).order_by(entry.at.desc(), entry.id.desc()).limit(1)
    )


async def _states(
    source: Source, memo_id: str, event_id: str, named: Set[str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What of a memo's row is to be taken back to have it as it was after an event, and before; None for no memo."""
    entry = t.credit_memo_events.c
    events = select(entry.at, entry.by_id, entry.changed_from).where(entry.credit_memo_id == memo_id)
    (event,) = await source.rows(events.where(entry.id == event_id))
    place, here = tuple_(entry.at, entry.id), tuple_(literal(event.at, entry.at.type), literal(event_id))
    after: dict[str, Any] = {}
    for later in await source.rows(events.where(place > here).order_by(entry.at.desc(), entry.id.desc())):
        after |= later.changed_from or {}
    changed = event.changed_from
    before = None if changed is None else {**after, **changed}
    if named & _STAMPED:
        backwards = events.order_by(entry.at.desc(), entry.id.desc()).limit(MOST_EARLIER)
        (first,) = await source.rows(events.order_by(entry.at, entry.id).limit(1))
        written = [one for one in await source.rows(backwards.where(place < here)) if _writes(one)]
        made = {"created_by_id": first.by_id, "created_date": first.at} if first.changed_from is None else {}
        if before is not None:
            before = {**made, **before, **(_stamp(written[0]) if written else {})}
        last = [event, *written] if _writes(event) else written
        after = {**made, **after, **(_stamp(last[0]) if last else {})}
    return (None if changed is not None and "id" in changed else after), before


def _writes(event: Any) -> bool:
    """Whether an entry of the history tells of a change of the memo's row, and not of its files or mails."""
    return event.changed_from is None or bool(event.changed_from)


def _stamp(event: Any) -> dict[str, Any]:
    return {"updated_by_id": event.by_id, "updated_date": event.at}


def _named(wanted: ColumnElement[bool]) -> Set[str]:
    """The memo's columns that a filter asks of."""
    memos = t.credit_memos
    return {one.name for one in visitors.iterate(wanted) if isinstance(one, Column) and one.table is memos}


def _in_state(memo_id: str, replaced: Mapping[str, Any], wanted: ColumnElement[bool]) -> Select[Any]:
    """Ask whether a filter finds a memo in another state: its row as it is, save for what was replaced since."""
    memos = t.credit_memos
    if not replaced:
        return select(memos.c.id).where(memos.c.id == memo_id, wanted)
    deleted = "id" in replaced
    columns = [
        cast_sql(_value(column, replaced.get(column.name)), column.type).label(column.name)
        if deleted or column.name in replaced
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
