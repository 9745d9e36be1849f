"""Statements compiled once by SQLAlchemy and then run straight on the driver."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Select
from sqlalchemy.engine import Dialect

KEYS = "keys"
"""The name of the parameter that takes the keys of the parents."""

MOST = 4_000
"""Statements kept; each is a few kilobytes."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement's text and its parameters, of which one may be the keys."""

    sql: str
    parameters: tuple[Any, ...]
    keys_at: tuple[int, ...]
    as_json: bool
    """Whether the keys are one JSON text, as SQLite takes them, rather than an array."""

    def bound(self, keys: Sequence[str] = ()) -> tuple[str, Sequence[Any]]:
        """The statement with its parameters for these keys."""
        if not self.keys_at:
            return self.sql, self.parameters
        value: Any = orjson.dumps(keys).decode() if self.as_json else keys
        parameters = list(self.parameters)
        for at in self.keys_at:
            parameters[at] = value
        return self.sql, parameters


class Statements:
    """The statements of one database, kept by what they were made for; those used last stay."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kept: OrderedDict[Hashable, Prepared] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Select[Any]]) -> Prepared:
        """The statement of a key; everything that shapes it, values included, is in the key."""
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = prepare(make(), self._dialect)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found


def prepare(statement: Select[Any], dialect: Dialect) -> Prepared:
    """Compile a statement for a driver, its values already in the driver's form."""
    compiled: Any = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    names: list[str] = list(compiled.positiontup or ())
    values = compiled.construct_params()
    processors = compiled._bind_processors
    parameters = []
    for name in names:
        # The members of an expanded IN are named after their list, whose processor is theirs.
        process = processors.get(name) or processors.get(name.rpartition("_")[0])
        value = values[name]
        parameters.append(value if process is None or name == KEYS else process(value))
    keys_at = tuple(i for i, name in enumerate(names) if name == KEYS)
    return Prepared(str(compiled), tuple(parameters), keys_at, dialect.name == "sqlite")
