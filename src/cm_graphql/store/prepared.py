"""Statements compiled once by SQLAlchemy and then run straight on the driver."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine import Dialect

from cm_graphql.store.lists import ACCOUNTS, KEYS, LIST_TEXTS

MOST_CHARACTERS = 2_000_000
"""Of SQL kept; a million take about 11 MB with all that belongs to them."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A place where each run puts its own value."""

    at: int
    name: str
    process: Callable[[Any], Any] | None
    """Brings the value into the driver's form."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement's text and its parameters: constants, and those that each run brings."""

    sql: str
    constants: tuple[Any, ...]
    own: tuple[Parameter, ...]

    def bound(self, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        """The statement with its parameters for these values."""
        parameters = list(self.constants)
        for parameter in self.own:
            value = values[parameter.name]
            parameters[parameter.at] = value if parameter.process is None else parameter.process(value)
        return self.sql, parameters


class Statements:
    """The statements of one database, kept by what they were made for; those used last stay."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._kept: OrderedDict[Hashable, Prepared | None] = OrderedDict()
        self._characters = 0

    def get(self, key: Hashable, make: Callable[[], Select[Any] | None], own: Collection[str]) -> Prepared | None:
        """The statement of a key, which tells everything that shapes it but the values of its own parameters."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        statement = make()
        made = self._kept[key] = None if statement is None else prepare(statement, self.dialect, own)
        self._characters += _weight(made)
        while self._characters > MOST_CHARACTERS and len(self._kept) > 1:
            self._characters -= _weight(self._kept.popitem(last=False)[1])
        return made


def _weight(statement: Prepared | None) -> int:
    return 100 if statement is None else len(statement.sql)


def prepare(statement: Select[Any], dialect: Dialect, own: Collection[str]) -> Prepared:
    """Compile a statement for a driver; its values are brought into the driver's form, save those of the names."""
    compiled: Any = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    names: list[str] = list(compiled.positiontup or ())
    values = compiled.construct_params()
    constants: list[Any] = []
    changing: list[Parameter] = []
    for at, name in enumerate(names):
        # The members of an expanded IN are named after their list, whose processor is theirs.
        process = compiled._bind_processors.get(name) or compiled._bind_processors.get(name.rpartition("_")[0])
        if name in own:
            if name in (KEYS, ACCOUNTS):
                process = LIST_TEXTS[dialect.name]
            changing.append(Parameter(at, name, process))
            constants.append(None)
        else:
            constants.append(values[name] if process is None else process(values[name]))
    return Prepared(str(compiled), tuple(constants), tuple(changing))
