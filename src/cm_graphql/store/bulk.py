"""Many rows in few statements: what an action of 15,000 lines writes costs a handful of round trips."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, bindparam

from cm_graphql.store.session import Session

Values = dict[str, Any]

CHUNK = 500
"""Keys per statement where they are listed one by one; far below every driver's limit of parameters."""


async def insert(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, all of the same columns; none is fine."""
    if rows:
        await session.execute(table.insert(), list(rows))


async def update(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Set the given columns of the rows with the given ids; all name the same columns, none is fine."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "id"]
    statement = (
        table.update()
        .where(table.c.id == bindparam("row_id"))
        .values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns})
    )
    parameters = [{"row_id": row["id"], **{f"new_{name}": row[name] for name in columns}} for row in rows]
    await session.execute(statement, parameters)


async def delete(session: Session, table: Table, ids: Sequence[str]) -> None:
    """Delete the rows with these ids; none is fine."""
    for start in range(0, len(ids), CHUNK):
        await session.execute(table.delete().where(table.c.id.in_(ids[start : start + CHUNK])))
