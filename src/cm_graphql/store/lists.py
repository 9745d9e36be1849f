"""A list of texts as one parameter, so that a statement is the same for any number of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ARRAY, ColumnElement, FromClause, Text, any_, bindparam, cast, func, select

KEYS = "keys"
"""The name of the parameter that takes the keys of the parents."""

ACCOUNTS = "accounts"
"""The name of the parameter that takes the accounts that the caller is limited to."""


def keys_table(dialect: str, keys: Sequence[str]) -> tuple[FromClause, ColumnElement[str]]:
    """The keys as a table of one parameter, and its only column."""
    if dialect == "sqlite":
        table = func.json_each(bindparam(KEYS, json_text(keys))).table_valued("value", name="parents")
        return table, table.c.value
    unnested = func.unnest(_array(KEYS, keys)).table_valued("value", name="parents").render_derived()
    return unnested, unnested.c.value


def among(dialect: str, source: ColumnElement[Any], keys: Sequence[str]) -> ColumnElement[bool]:
    """Whether a column's value is one of the keys."""
    table, value = keys_table(dialect, keys)
    return source.in_(select(value).select_from(table))


def owned(dialect: str, owner: ColumnElement[Any], accounts: Sequence[str]) -> ColumnElement[bool]:
    """Whether the account that a row belongs to is one of these."""
    if dialect == "sqlite":
        table = func.json_each(bindparam(ACCOUNTS, json_text(accounts))).table_valued("value", name="allowed")
        return owner.in_(select(table.c.value))
    return owner == any_(_array(ACCOUNTS, accounts))


def _array(name: str, texts: Sequence[str]) -> ColumnElement[Any]:
    return cast(bindparam(name, array_text(texts), type_=Text()), ARRAY(Text(collation="C")))


def json_text(texts: Sequence[str]) -> str:
    """A list as SQLite takes it."""
    return orjson.dumps(texts).decode()


def array_text(texts: Sequence[str]) -> str:
    """A list as PostgreSQL takes it; its driver would ask four questions about each text of an array."""
    quoted = '","'.join(texts)
    if "\\" in quoted or quoted.count('"') > 2 * (len(texts) - 1):
        quoted = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return f'{{"{quoted}"}}' if texts else "{}"


LIST_TEXTS: Mapping[str, Callable[[Sequence[str]], str]] = {"sqlite": json_text, "postgresql": array_text}
"""How a list of texts becomes one parameter, by the kind of database."""
