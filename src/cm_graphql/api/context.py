"""What every resolver can ask of the request it serves: who asks, the loaders, and the gate that actions pass."""

from collections.abc import Awaitable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from graphql import OperationType

from cm_graphql.api.links import Links
from cm_graphql.domain.errors import Fault, Refusal
from cm_graphql.engine.operations import Operation
from cm_graphql.engine.runner import Engine, Planned, ReadyChange, RootField
from cm_graphql.engine.telling import Foretold
from cm_graphql.fields.errors import BadUserInput, RequestError
from cm_graphql.fields.loaders import Committed, Loaders, Pinned
from cm_graphql.operations.document_ports import DocumentPorts
from cm_graphql.operations.gate import Action, Answer, BulkAction, Gate, Outcome, Rehearsal, Tell
from cm_graphql.operations.ports import SystemClock, TaxEngine
from cm_graphql.operations.viewer import ADMIN, LOCAL, Forbidden, Viewer
from cm_graphql.store.bus import Bus
from cm_graphql.store.database import Database
from cm_graphql.store.keys import MalformedId
from cm_graphql.store.statements import Told

T = TypeVar("T")


@dataclass
class Api:
    """What lives as long as the server."""

    database: Database
    today: date | None = None
    """Freezes the date, for tests and demos."""
    engine: Engine | None = None
    """Answers queries by plans; without it, resolvers do."""
    explains: bool = False
    """Whether callers who may do everything are told plans, where they ask for them."""
    tax_engines: Mapping[str, TaxEngine] = field(default_factory=dict)
    """Tax engines outside, by the name that the setting `taxEngine` gives them."""
    documents: DocumentPorts | None = None
    """Who draws PDFs, keeps files and carries mail."""
    links: Links = field(default_factory=Links)
    """Signs links to files."""
    listen_url: str | None = None
    """The database past a connection pooler, for what is told by other processes; None: there is no pooler."""
    committed: Committed = field(init=False)
    """What is committed, as readers see it."""
    gate: Gate = field(init=False)
    bus: Bus = field(init=False)
    reading: WeakValueDictionary[Hashable, Loaders] = field(init=False, default_factory=WeakValueDictionary)
    """What is being read for several requests that want the same at the same time."""

    def __post_init__(self) -> None:
        self.committed = Committed(self.database)
        self.bus = Bus(self.database, self.listen_url)
        self.gate = Gate(self.database, SystemClock(self.today), tax_engines=self.tax_engines, documents=self.documents)


@dataclass(frozen=True)
class BulkAnswer:
    """What became of a bulk action: of each element, or why none was looked at."""

    elements: list[Answer] = field(default_factory=list)
    refused: tuple[Fault, ...] = ()


class Context:
    """What lives as long as one request."""

    def __init__(self, api: Api, viewer: Viewer, request_id: str | None) -> None:
        self.api = api
        self.viewer = viewer
        self.request_id = request_id
        self.response_extensions: dict[str, Any] = {}
        self.has_acted = False
        """Whether any action of the request was answered: done, or refused by its rules."""
        self._rehearsal: Rehearsal | None = None
        self._carried_out: Answer | BulkAnswer | Exception | None = None
        """What became of the only action of the request, if it was carried out before resolvers were asked."""
        self._root_field: RootField | None = None
        self._shown: Mapping[str, Mapping[str, Any]] = {}
        self.loaders = self._fresh_loaders()

    @classmethod
    def of(cls, api: Api, *, viewer: Viewer = LOCAL, request_id: str | None = None) -> "Context":
        """The context of a request; without authentication the caller is the local one."""
        return cls(api, viewer, request_id)

    @property
    def caller_id(self) -> str:
        """Who asks; empty where nobody has to say."""
        return "" if self.viewer is LOCAL else self.viewer.id

    @property
    def database(self) -> Database:
        """The database that is read."""
        return self.api.database

    def require(self, scope: str) -> None:
        """Refuse what the caller may not do: FORBIDDEN."""
        try:
            self.viewer.require(scope)
        except Forbidden as error:
            raise RequestError("FORBIDDEN", str(error)) from error

    async def act(self, what: Action[Any], command: Any) -> Answer:
        """Do an action, once; what is read after it, is read anew."""
        if isinstance(self._carried_out, Exception):
            raise self._carried_out
        answer = self._carried_out
        if not isinstance(answer, Answer):
            answer = await self._do(what, command)
        await self._acted([answer])
        return answer

    async def _do(self, what: Action[Any], command: Any, tell: Tell | None = None) -> Answer:
        try:
            answer, self._rehearsal = await self._through(self.api.gate.act(what, command, *self._who, tell))
        except Refusal as refusal:
            answer = Answer(faults=refusal.faults)
        return answer

    async def carried_out(self, operation: Operation, variables: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """The data of a mutation that was carried out without resolvers; None where they have to tell of it, done or
        not.
        """
        engine = self.api.engine
        ready = None if engine is None else engine.ready_change(operation, variables)
        return None if ready is None or not self.viewer.may(ready.scopes) else await self.carry_out(ready)

    async def carry_out(self, ready: ReadyChange) -> dict[str, Any] | None:
        """Carry out a mutation without resolvers, and give its data.

        None leaves it to resolvers to tell what became of it: to them `act` gives the answer, or raises the error, that
        is there already. So it is not done again, and told in their words.
        """
        change = ready.change
        self._root_field = RootField(ready.operation, ready.values, change.key)
        try:
            payload = await self._payload(ready)
        except Exception as error:
            if self._carried_out is None:
                self._carried_out = error
            return None
        finally:
            self._root_field, self._shown = None, {}
        if self.api.engine is not None:
            self.api.engine.counted["changes"] += 1
        return ready.plan.in_order({change.key: payload})

    async def act_each(self, what: BulkAction[Any, Any], command: Any) -> BulkAnswer:
        """Do each element of a bulk action, once; what is read after it, is read anew."""
        if isinstance(self._carried_out, Exception):
            raise self._carried_out
        answers = self._carried_out
        if not isinstance(answers, BulkAnswer):
            answers = await self._do_each(what, command)
        if not answers.refused:
            await self._acted(answers.elements)
        return answers

    async def _do_each(self, what: BulkAction[Any, Any], command: Any) -> BulkAnswer:
        try:
            answers, self._rehearsal = await self._through(self.api.gate.act_each(what, command, *self._who))
        except Refusal as refusal:
            return BulkAnswer(refused=refusal.faults)
        return BulkAnswer(elements=answers)

    async def _payload(self, ready: ReadyChange) -> dict[str, Any]:
        """Carry out a change, note what became of it, and make its payload."""
        change, command = ready.change, ready.command
        what = change.declared.what
        if change.declared.is_bulk:
            self._carried_out = answers = await self._do_each(what, command)
            if not answers.refused:
                await self._acted(answers.elements)
            elements = [(answer.outcome or {}, answer.faults) for answer in answers.elements]
            return change.shape(self._shown, {}, answers.refused, elements)
        foretold: Foretold | None = None

        def tell(outcome: Outcome) -> Told | None:
            nonlocal foretold
            engine = self.api.engine
            foretold = None if engine is None else engine.foretell(ready, outcome, self)
            return None if foretold is None else foretold.told

        self._carried_out = answer = await self._do(what, command, tell)
        # What an attempt was told that was undone is nothing to a repeat of another request.
        await self._acted([answer], None if answer.replayed else foretold)
        return change.shape(self._shown, answer.outcome or {}, answer.faults, ())

    @property
    def _who(self) -> tuple[Viewer, str | None]:
        return self.viewer, self.request_id

    async def _through(self, acting: Awaitable[T]) -> T:
        """Pass the gate; what is wrong with the request itself belongs in GraphQL's own errors."""
        try:
            return await acting
        except Forbidden as error:
            raise RequestError("FORBIDDEN", str(error)) from error
        except MalformedId as error:
            raise BadUserInput(str(error)) from error

    async def _acted(self, answers: list[Answer], foretold: Foretold | None = None) -> None:
        self.has_acted = True
        if any(answer.replayed for answer in answers):
            self.response_extensions["idempotentReplay"] = True
        self.loaders = self._fresh_loaders()
        outcomes = [answer.outcome for answer in answers if answer.outcome]
        engine, field = self.api.engine, self._root_field
        # Plans read on connections of their own, which do not see what a dry run will undo.
        if engine is not None and field is not None and outcomes and self._rehearsal is None:
            shown = None if foretold is None else engine.told(foretold, self)
            self._shown = await engine.payload(field, outcomes, self) if shown is None else shown

    def shown(self, place: str, key: str) -> Any:
        """The object of an id at a place of the payload, where a plan has read it; else None."""
        return self._shown.get(place, {}).get(key)

    async def planned(self, operation: Operation, variables: Mapping[str, Any] | None) -> Planned | None:
        """What plans can answer of a query; None where resolvers must answer all of it."""
        engine = self.api.engine
        return None if engine is None else await engine.answer(operation, variables, self)

    def explain(self, operation: Operation | None, variables: Mapping[str, Any] | None) -> None:
        """Add the plan of the operation to the answer, where that is allowed to this caller."""
        engine, viewer = self.api.engine, self.viewer
        if not self.api.explains or engine is None or operation is None or operation.kind is not OperationType.QUERY:
            return
        if viewer.accounts is None and viewer.scopes >= ADMIN:
            found = engine.explain(operation, variables, self)
            if found is not None:
                self.response_extensions["plan"] = found.shown()

    def before_root_field(self, field: RootField) -> None:
        """Note which root field of a mutation comes next, so that plans can read its payload."""
        self._root_field = field

    async def after_root_field(self) -> None:
        """Forget what was read for a payload, and undo a dry run, now that its payload was read."""
        self._root_field, self._shown = None, {}
        rehearsal, self._rehearsal = self._rehearsal, None
        if rehearsal is not None:
            source = self.loaders.source
            try:
                if isinstance(source, Pinned):
                    await source.end()
            finally:
                await rehearsal.undo()
            self.loaders = self._fresh_loaders()

    def anew(self) -> Loaders:
        """Have everything read anew from now on, as after each event of a subscription."""
        self.loaders = self._fresh_loaders()
        return self.loaders

    def anew_after(self, event_id: str) -> Loaders:
        """Have everything read anew, or as those found it who are told of the same event and may see the same.

        What is changed after they have read it has an event of its own.
        """
        key = event_id, self.viewer.accounts, self.viewer.scopes
        found = self.api.reading.get(key)
        self.loaders = self.anew() if found is None else found
        self.api.reading[key] = self.loaders
        return self.loaders

    def _fresh_loaders(self) -> Loaders:
        viewer, rehearsal = self.viewer, self._rehearsal
        if rehearsal is None:
            return Loaders(self.api.committed, viewer.accounts, viewer.scopes)
        return Loaders(Pinned(rehearsal.connection, self.database.dialect), viewer.accounts, viewer.scopes)
