"""The one place that every action passes: permission, repeats, dry run, transaction, and what a refusal becomes."""

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeGuard, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cm_graphql.domain import limits
from cm_graphql.domain.commands.base import UNSET, Command
from cm_graphql.domain.errors import ErrorCode, Fault, Refusal, refuse
from cm_graphql.operations.document_ports import DocumentPorts
from cm_graphql.operations.gateways import SimulatedGateway
from cm_graphql.operations.ports import Clock, Gateway, TaxEngine
from cm_graphql.operations.quoting import Quoted, Unasked
from cm_graphql.operations.unit import Unit
from cm_graphql.operations.viewer import Forbidden, Viewer
from cm_graphql.store import at_once, records
from cm_graphql.store.database import Database
from cm_graphql.store.errors import Contention, Unreachable, is_lost, typed, unreachable
from cm_graphql.store.keys import MalformedId
from cm_graphql.store.records import IdempotentRequest
from cm_graphql.store.session import Session
from cm_graphql.store.statements import Query, Told
from cm_graphql.store.writing import Overtaken

log = structlog.get_logger("cm_graphql.operations")

Outcome = Mapping[str, Any]
"""What an action leaves for its answer: per payload field an id, a list of ids, or a plain value."""

Tell: TypeAlias = Callable[[Outcome], Told | None]
"""Makes of an outcome, as far as it is known, a question about what it names."""

C = TypeVar("C", bound=Command)
E = TypeVar("E")

NOT_KEPT = frozenset(
    {ErrorCode.LOCK_CONTENTION, ErrorCode.STALE_VERSION, ErrorCode.GATEWAY_ERROR, ErrorCode.TAX_ENGINE_ERROR}
)
"""Refusals that deserve a retry, and so are not remembered for repeats (api.md, idempotencyKey)."""


DONE, REPLAYED, CUT_OFF = "DONE", "REPLAYED", "CUT_OFF"
"""How an action ends that was not refused. Cut off is what nobody waited for any more: what was being committed at that
moment is done, which the history of the memo tells."""

UNFINISHED = "unfinished"
"""Under this name an outcome tells what the action's errand is still to be run for."""


class NoReply(Exception):
    """Who was asked outside did not answer, so that nobody knows what became of it."""


@dataclass(frozen=True)
class Errand:
    """What an action asks of the world outside after its transaction, and what it makes of the reply in a second one.

    Both steps are given the `unfinished` of the outcome, and may be repeated after whatever went wrong, also by another
    process: `ask` must be harmless to repeat, and `conclude` find out for itself whether it was done before.
    """

    ask: Callable[["Gate", str], Awaitable[Any]]
    """Runs outside of any transaction; NoReply leaves everything to be repeated later."""
    conclude: Callable[[Unit, str, Any], Awaitable["Answer"]]


@dataclass(frozen=True)
class Action(Generic[C]):
    """Something that can be done: who may, and how. Made by `action`."""

    name: str
    scopes: tuple[str, ...]
    run: Callable[[Unit, C], Awaitable[Outcome]]
    errand: Errand | None = None
    """Run after the transaction where the outcome has something `unfinished`; never in a dry run."""
    between: Callable[[Any], tuple[str, str] | None] | None = None
    """Tells the memo and the only target that money moves between, where that is all (see `store.at_once`)."""
    foresees: tuple[Query, ...] = ()
    """What it asks of that memo, named `memo`, beside what all movements of money ask."""
    reasons: bool = True
    """Whether it may need reason codes."""


@dataclass(frozen=True)
class BulkAction(Generic[C, E]):
    """Something done to each of several elements, every one in a transaction of its own. Made by `bulk_action`."""

    name: str
    scopes: tuple[str, ...]
    elements: Callable[[C], Sequence[E]]
    """Takes the request apart; refuses what is wrong with it as a whole."""
    run: Callable[[Unit, E], Awaitable[Outcome]]


def action(
    *scopes: str,
    errand: Errand | None = None,
    between: Callable[[Any], tuple[str, str] | None] | None = None,
    foresees: tuple[Query, ...] = (),
    reasons: bool = True,
) -> Callable[[Callable[[Unit, C], Awaitable[Outcome]]], Action[C]]:
    """Make an action of a function that loads, decides and saves; the caller needs all of the scopes."""
    return lambda run: Action(
        f"{run.__module__.rpartition('.')[2]}.{run.__name__}", scopes, run, errand, between, foresees, reasons
    )


def bulk_action(
    elements: Callable[[C], Sequence[E]], *scopes: str
) -> Callable[[Callable[[Unit, E], Awaitable[Outcome]]], BulkAction[C, E]]:
    """Make a bulk action of a function that does one element."""
    return lambda run: BulkAction(f"{run.__module__.rpartition('.')[2]}.{run.__name__}", scopes, elements, run)


@dataclass
class Answer:
    """What became of an action: its outcome or why it was refused."""

    outcome: Outcome | None = None
    faults: tuple[Fault, ...] = ()
    replayed: bool = False

    @property
    def ending(self) -> str:
        """How it ended, in a word: the code of its refusal, or that it was done, now or before."""
        if self.faults:
            return self.faults[0].code.value
        return REPLAYED if self.replayed else DONE


@dataclass
class Rehearsal:
    """The transaction of a dry run, held open so that its effects can be read before they are undone."""

    connection: AsyncConnection
    stack: AsyncExitStack

    async def undo(self) -> None:
        """End the transaction; nothing of it stays."""
        await self.stack.aclose()


@dataclass(frozen=True)
class _Try:
    """Whose action it is, and what was learned outside while it was tried."""

    name: str
    viewer: Viewer
    request_id: str | None
    quoted: Quoted
    reasons: bool = True
    """Whether reason codes may be needed."""


@dataclass
class Gate:
    """Lets actions through."""

    database: Database
    clock: Clock
    gateway: Gateway = field(default_factory=SimulatedGateway)
    tax_engines: Mapping[str, TaxEngine] = field(default_factory=dict)
    """Those outside, by the name that the setting `taxEngine` gives them; `none` and `table` need none."""
    documents: DocumentPorts | None = None
    """Who draws PDFs, keeps files and carries mail; without them such actions are refused."""

    def __post_init__(self) -> None:
        self._running: set[tuple[str, str, str]] = set()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How often each action ended how: DONE, REPLAYED, CUT_OFF, or the code of its refusal."""

    async def act(
        self,
        what: Action[C],
        command: C,
        viewer: Viewer,
        request_id: str | None = None,
        tell: Tell | None = None,
    ) -> tuple[Answer, Rehearsal | None]:
        """Do one action. A dry run leaves its transaction open for reading; the caller must undo it.

        What `tell` makes is answered by the statement that writes, where there is one that writes everything; on SQLite
        by another one of the same transaction.

        Raises Forbidden and MalformedId; every business refusal is in the answer.
        """
        try_ = _Try(what.name, viewer, request_id, self._quoted(), what.reasons)
        with self._noted(try_, command) as outcomes:
            viewer.require(*what.scopes)
            request = _idempotent(what.name, command, viewer)
            if command.dry_run:
                answers, rehearsal = await self._rehearse([command], what.run, try_)
                return answers[0], rehearsal
            answer = await self._once(request, what.run, command, try_, what, tell)
            outcomes[answer.ending] += 1
            return answer, None

    async def act_each(
        self, what: BulkAction[C, E], command: C, viewer: Viewer, request_id: str | None = None
    ) -> tuple[list[Answer], Rehearsal | None]:
        """Do each element in a transaction of its own; one that fails does not stop the others (domain.md 1.3).

        Raises Forbidden, MalformedId, and Refusal where the request as a whole is at fault.
        """
        try_ = _Try(what.name, viewer, request_id, self._quoted())
        with self._noted(try_, command) as outcomes:
            viewer.require(*what.scopes)
            elements = what.elements(command)
            request = _idempotent(what.name, command, viewer)
            if command.dry_run:
                return await self._rehearse(elements, what.run, try_, bulk=True)
            unfit = None if request is None else await self._bind(request)
            if unfit is not None:
                outcomes[unfit.ending] += len(elements)
                return [unfit] * len(elements), None
            answers: list[Answer] = []
            for index, element in enumerate(elements):
                part = replace(request, key=f"{request.key}#{index}") if request else None
                try:
                    answers.append(await self._once(part, what.run, element, try_))
                except Exception as error:
                    if isinstance(error, Unreachable) and not index:
                        raise  # as nothing was done, the whole of it can be asked anew
                    answers.append(_failed(error, try_, index))
                outcomes[answers[-1].ending] += 1
            return answers, None

    async def _bind(self, request: IdempotentRequest) -> Answer | None:
        """Bind the key of a bulk action to its whole input before any element is done; the answer to each, if it must
        not be.

        Each element has an outcome of its own. By those alone another input under the same key would be told so only
        where both have an element whose outcome is kept, and the rest of it would be done.
        """
        call = replace(request, key=f"{request.key}#")

        async def work(connection: AsyncConnection) -> Answer | None:
            session = Session(connection, self.database.dialect)
            claimed, now = await records.lock_request(session, call), self.clock.now()
            stored = await records.stored_outcome(session, call, now)
            if stored is None:
                if not claimed:
                    return Answer(faults=(_in_progress(),))
                await records.store_outcome(session, call, _stored(Answer()), now)
                return None
            answer = _replay(call, *stored)
            return answer if answer.faults else None

        try:
            return await self.database.transact(work)
        except Contention as contention:
            return Answer(faults=(_contended(contention),))

    async def finish(self, what: Action[Any], subject: str, viewer: Viewer) -> Answer | None:
        """Run the errand of an action that was left unfinished, because its process or the world outside failed.

        Answers None where it is left unfinished again.
        """
        assert what.errand is not None
        return await self._run(what.errand, subject, None, _Try(what.name, viewer, None, self._quoted()))

    def _noted(self, try_: _Try, command: Command) -> "_Noting":
        return _Noting(try_, None if command.dry_run else self.outcomes)

    def _quoted(self) -> Quoted:
        return Quoted(self.tax_engines, self.documents, self.gateway)

    # --- dry runs -----------------------------------------------------------------------------------------------------

    async def _rehearse(
        self, wanted: Sequence[E], run: Callable[[Unit, E], Awaitable[Outcome]], try_: _Try, *, bulk: bool = False
    ) -> tuple[list[Answer], Rehearsal | None]:
        """Do everything in one transaction that is left open; ask whoever must be asked outside, and start over."""
        while True:
            stack = AsyncExitStack()
            try:
                connection = await stack.enter_async_context(self.database.write(dry_run=True))
            except Contention as contention:
                return [Answer(faults=(_contended(contention),)) for _ in wanted], None
            rehearsal = Rehearsal(connection, stack)
            answers: list[Answer] = []
            missing: list[Unasked] = []
            try:
                for index, element in enumerate(wanted):
                    try:
                        answers.append(await self._attempt(rehearsal, run, element, try_))
                    except Unasked as unasked:
                        missing.append(unasked)
                    except Exception as error:
                        if not bulk:
                            raise
                        answers.append(_failed(error, try_, index))
                if not missing:
                    return answers, rehearsal
            except BaseException:
                await rehearsal.undo()
                raise
            await rehearsal.undo()
            for one in missing:
                await one.ask()

    async def _attempt(
        self, rehearsal: Rehearsal, run: Callable[[Unit, E], Awaitable[Outcome]], wanted: E, try_: _Try
    ) -> Answer:
        """Do something inside the transaction of a dry run; what is refused is undone at once."""
        try:
            async with rehearsal.connection.begin_nested():
                session = Session(rehearsal.connection, self.database.dialect)
                unit = await self._unit(session, try_, dry_run=True)
                return Answer(outcome=await run(unit, wanted))
        except Refusal as refusal:
            return Answer(faults=refusal.faults)
        except IntegrityError as error:
            return Answer(faults=(_taken(error),))
        except DBAPIError as error:  # the transaction, which is still open, has not put a name to it
            known = typed(error)
            if isinstance(known, Contention):
                return Answer(faults=(_contended(known),))
            if is_lost(error):
                raise unreachable(error) from error
            raise

    async def _unit(self, session: Session, try_: _Try, *, dry_run: bool = False) -> Unit:
        return await Unit.begin(
            session,
            try_.viewer,
            self.clock,
            request_id=try_.request_id,
            dry_run=dry_run,
            quoted=try_.quoted,
            reasons=try_.reasons,
        )

    # --- the real thing -----------------------------------------------------------------------------------------------

    async def _at_once(
        self, what: Action[C], request: IdempotentRequest | None, command: C, try_: _Try, tell: Tell | None
    ) -> Answer | None:
        """Do something without locks; None where nothing was done and it has to be done, or refused, under locks."""

        async def work(session: Session) -> Answer:
            answer = Answer(outcome=await what.run(await self._unit(session, try_), command))
            if request is not None:
                await records.insert_outcome(session, request, _stored(answer), self.clock.now())
            return answer

        if what.between is None or self.database.straight is None:
            return None
        try:
            named = what.between(command)
            if named is None:
                return None
            told = None if tell is None else tell({"credit_memo": named[0]})
            return await at_once.attempt(self.database, *named, work, also=what.foresees, request=request, told=told)
        except (Overtaken, Refusal, Unasked, MalformedId):
            return None

    async def _once(
        self,
        request: IdempotentRequest | None,
        run: Callable[[Unit, Any], Awaitable[Outcome]],
        wanted: Any,
        try_: _Try,
        what: Action[Any] | None = None,
        tell: Tell | None = None,
    ) -> Answer:
        """Do something in its own transaction, unless the same request was answered before.

        `what` tells of an action, which is no part of a bulk one, whether there is another way, and an errand.
        """
        claim = None if request is None else (request.viewer_id, request.field, request.key)
        if request is not None and claim is not None:
            if claim in self._running:
                return await self._beside(request)
            self._running.add(claim)
        try:
            errand = None if what is None else what.errand
            answer = None if what is None else await self._at_once(what, request, wanted, try_, tell)
            if answer is None:
                # What an errand is still to be run for will be another thing when it is shown.
                answer = await self._decide(request, run, wanted, try_, tell if errand is None else None)
            if errand is not None and answer.outcome is not None and UNFINISHED in answer.outcome:
                finished = await self._run(errand, answer.outcome[UNFINISHED], request, try_)
                return answer if finished is None else replace(finished, replayed=answer.replayed)
            return answer
        finally:
            if claim is not None:
                self._running.discard(claim)

    async def _beside(self, request: IdempotentRequest) -> Answer:
        """What a request is told while the same one is at work: its outcome, if that one only repeats it as well."""
        try:
            async with self.database.read() as connection:
                session = Session(connection, self.database.dialect)
                stored = await records.stored_outcome(session, request, self.clock.now())
        except Contention as contention:
            return Answer(faults=(_contended(contention),))
        return _replay(request, *stored) if _is_final(stored) else Answer(faults=(_in_progress(),))

    async def _decide(
        self,
        request: IdempotentRequest | None,
        run: Callable[[Unit, E], Awaitable[Outcome]],
        wanted: E,
        try_: _Try,
        tell: Tell | None,
    ) -> Answer:
        try:
            while True:
                try:
                    return await self.database.transact(
                        lambda connection: self._in(connection, request, run, wanted, try_, tell)
                    )
                except Unasked as unasked:  # the transaction was undone: nothing is locked meanwhile
                    await unasked.ask()
        except _Refused as refused:
            return Answer(faults=refused.faults)
        except Contention as contention:
            return Answer(faults=(_contended(contention),))
        except IntegrityError as error:
            return Answer(faults=(_taken(error),))

    async def _in(
        self,
        connection: AsyncConnection,
        request: IdempotentRequest | None,
        run: Callable[[Unit, E], Awaitable[Outcome]],
        wanted: E,
        try_: _Try,
        tell: Tell | None,
    ) -> Answer:
        session = Session(connection, self.database.dialect)
        if request is None:
            try:
                return await self._done(session, run, wanted, try_, tell)
            except Refusal as refusal:
                raise _Refused(refusal.faults) from refusal  # leaves the transaction, which undoes everything
        claimed, now = await records.lock_request(session, request), self.clock.now()
        stored = await records.stored_outcome(session, request, now)
        if not claimed and not _is_final(stored):
            return Answer(faults=(_in_progress(),))
        if stored is not None:
            return _replay(request, *stored)
        try:
            async with session.nested():
                answer = await self._done(session, run, wanted, try_, tell)
        except Refusal as refusal:
            if _deserves_retry(refusal.faults):
                raise _Refused(refusal.faults) from refusal
            answer = Answer(faults=refusal.faults)
        await records.store_outcome(session, request, _stored(answer), now)
        return answer

    async def _done(
        self,
        session: Session,
        run: Callable[[Unit, E], Awaitable[Outcome]],
        wanted: E,
        try_: _Try,
        tell: Tell | None,
    ) -> Answer:
        """Do something in a transaction, and answer a question about it where that is cheapest there."""
        outcome = await run(await self._unit(session, try_), wanted)
        told = None if tell is None or not session.tells else tell(outcome)
        if told is not None:
            session.tell(told)
        return Answer(outcome=outcome)

    async def _run(self, errand: Errand, subject: str, request: IdempotentRequest | None, try_: _Try) -> Answer | None:
        """Ask outside, then conclude in a transaction of its own, with the outcome that repeats of the request get.

        Answers None where that could not be done, and will be later: whoever asked is told what stands so far. An error
        would have them ask anew, and it would be done twice.
        """

        async def conclude(connection: AsyncConnection) -> Answer:
            session = Session(connection, self.database.dialect)
            answer = await errand.conclude(await self._unit(session, try_), subject, reply)
            if request is not None:
                if _deserves_retry(answer.faults):
                    await records.forget_outcome(session, request)
                else:
                    await records.store_outcome(session, request, _stored(answer), self.clock.now())
            return answer

        try:
            reply = await errand.ask(self, subject)
            return await self.database.transact(conclude)
        except (NoReply, Contention, Unreachable) as reason:
            log.warning("left_unfinished", action=try_.name, subject=subject, reason=str(reason))
            return None


class _Noting:
    """Counts what becomes of an action, and writes down who did it: by codes alone, never with what was in it."""

    def __init__(self, try_: _Try, counted: Counter[tuple[str, str]] | None) -> None:
        self._try = try_
        self._counted = counted
        """Where it is counted; nowhere in a dry run, of which nothing is written down either."""
        self._outcomes: defaultdict[str, int] = defaultdict(int)

    def __enter__(self) -> defaultdict[str, int]:
        return self._outcomes

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if self._counted is None:
            return
        if error is not None and (ending := _ending(error)):
            self._outcomes[ending] += 1
        name, viewer = self._try.name, self._try.viewer
        for outcome, times in self._outcomes.items():
            self._counted[name, outcome] += times
        log.info(
            "action", action=name, outcomes=dict(self._outcomes), viewer=viewer.id, request_id=self._try.request_id
        )


def _ending(error: BaseException) -> str | None:
    """How an action ended that raised something, in a word."""
    if isinstance(error, Refusal):
        return error.faults[0].code.value
    if isinstance(error, Forbidden):
        return ErrorCode.PERMISSION_DENIED.value
    if isinstance(error, MalformedId):
        return ErrorCode.INVALID_VALUE.value
    if isinstance(error, asyncio.CancelledError):
        return CUT_OFF
    return ErrorCode.INTERNAL_ERROR.value if isinstance(error, Exception) else None


class _Refused(Exception):
    """A refusal on its way out of the transaction."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("refused")
        self.faults = faults


def _failed(error: Exception, try_: _Try, index: int) -> Answer:
    """What became of an element of a bulk action that did not even get refused in order.

    It may be done all the same, where the connection was lost in the middle of the commit.
    """
    if isinstance(error, Forbidden):
        return Answer(faults=(Fault(ErrorCode.PERMISSION_DENIED, str(error)),))
    if isinstance(error, Unreachable):
        log.warning("bulk_element_failed", action=try_.name, index=index, request_id=try_.request_id, reason=str(error))
        reason = f"The database cannot be reached: this was not done. Request {try_.request_id}."
        return Answer(faults=(Fault(ErrorCode.INTERNAL_ERROR, reason),))
    log.error("bulk_element_failed", action=try_.name, index=index, request_id=try_.request_id, exc_info=error)
    reason = f"An unexpected error occurred: look whether this was done before you ask anew. Request {try_.request_id}."
    return Answer(faults=(Fault(ErrorCode.INTERNAL_ERROR, reason),))


def _deserves_retry(faults: Sequence[Fault]) -> bool:
    return any(fault.code in NOT_KEPT for fault in faults)


def _in_progress() -> Fault:
    return Fault(
        ErrorCode.IDEMPOTENCY_IN_PROGRESS,
        "The first request with this idempotency key is still running: repeat it in a moment.",
        ("idempotency_key",),
    )


def _taken(error: IntegrityError) -> Fault:
    """What a unique number means that another transaction wrote first; any other violation is our bug, and goes on."""
    if "number" not in str(error.orig):
        raise error
    return Fault(ErrorCode.NUMBER_TAKEN, "The number was taken by another document meanwhile.", ("number",))


def _contended(contention: Contention) -> Fault:
    return Fault(ErrorCode.LOCK_CONTENTION, f"Nothing was changed, {contention}: try again.")


def _is_final(stored: tuple[str, Any] | None) -> TypeGuard[tuple[str, Any]]:
    """Whether an outcome is kept that will not become another."""
    return stored is not None and UNFINISHED not in (stored[1]["outcome"] or {})


def _replay(request: IdempotentRequest, request_hash: str, outcome: Any) -> Answer:
    if request_hash != request.request_hash:
        reason = "This idempotency key was used with another input: take a new key for a new request."
        return Answer(faults=(Fault(ErrorCode.IDEMPOTENCY_MISMATCH, reason, ("idempotency_key",)),))
    faults = tuple(
        Fault(ErrorCode(fault["code"]), fault["message"], tuple(fault["field"])) for fault in outcome["faults"]
    )
    return Answer(outcome=outcome["outcome"], faults=faults, replayed=True)


def _stored(answer: Answer) -> dict[str, Any]:
    return {
        "outcome": None if answer.outcome is None else dict(answer.outcome),
        "faults": [
            {"code": fault.code.value, "message": fault.message, "field": list(fault.field)} for fault in answer.faults
        ],
    }


def _idempotent(name: str, command: Command, viewer: Viewer) -> IdempotentRequest | None:
    key = command.idempotency_key
    if key is None:
        return None
    if not 0 < len(key) <= limits.IDEMPOTENCY_KEY_LENGTH:
        raise refuse(
            ErrorCode.INVALID_VALUE if not key else ErrorCode.TOO_LONG,
            f"An idempotency key has 1 to {limits.IDEMPOTENCY_KEY_LENGTH} characters, not {len(key)}.",
            "idempotency_key",
        )
    canonical = json.dumps(_plain(replace(command, idempotency_key=None)), sort_keys=True)
    return IdempotentRequest(viewer.id, name, key, hashlib.sha256(canonical.encode()).hexdigest())


def _plain(value: Any) -> Any:
    """A command as JSON, the same for the same request."""
    if value is UNSET:
        return {"unset": True}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return str(value.normalize())
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return value.value if isinstance(value, Enum) else value


__all__ = ["Action", "Answer", "BulkAction", "Gate", "MalformedId", "Outcome", "Rehearsal", "action", "bulk_action"]
