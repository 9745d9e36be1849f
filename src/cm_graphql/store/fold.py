"""Text without its case, the same on both databases: what `contains`, `startsWith` and `search` compare."""

from typing import Any

from sqlalchemy import ColumnElement, func

from cm_graphql.store.types import PlainText

# Lower case alone differs by what surrounds a letter and by who computes it: a final sigma, and the Turkish İ, which
# becomes i with a combining dot or plain i. Both are levelled, so that a part of a word folds like in the whole word.
_LEVELLED = (("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"), ("i\N{COMBINING DOT ABOVE}", "i"))


def fold_text(text: str) -> str:
    """Take the case out of a text, as the SQL function `fold` does; use it on what columns are compared with."""
    folded = text.lower()
    for old, new in _LEVELLED:
        folded = folded.replace(old, new)
    return folded


def fold(column: ColumnElement[Any]) -> ColumnElement[str]:
    """The SQL call `fold(column)`: registered on each SQLite connection, made by the first migration on PostgreSQL."""
    return func.fold(column, type_=PlainText())


def postgresql_fold(collation: str) -> str:
    """The statement that makes `fold` on PostgreSQL, given a collation that lowers all of Unicode."""
    expression = f'lower(text COLLATE "{collation}")'
    for old, new in _LEVELLED:
        expression = f"replace({expression}, '{old}', '{new}')"
    return (
        "CREATE FUNCTION fold(text TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE"
        f' AS $$ SELECT {expression} COLLATE "C" $$'
    )
