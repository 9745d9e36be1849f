"""The same CHECK constraints in fewer words, since PostgreSQL reads them anew for each statement that writes."""

import re
from collections import defaultdict
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

LINES = (
    ("credit_memo_items", "amounts", "amount_without_tax", "applied_amount", "refund_amount", "unapplied_amount"),
    ("credit_memo_taxation_items", "amounts", "tax_amount", "applied_amount", "refund_amount", "unapplied_amount"),
    ("invoice_items", "balance", "charge_amount", "credit_amount", "payment_amount", "balance"),
    ("invoice_taxation_items", "balance", "tax_amount", "credit_amount", "payment_amount", "balance"),
    ("debit_memo_items", "balance", "amount_without_tax", "credit_amount", "payment_amount", "balance"),
    ("debit_memo_taxation_items", "balance", "tax_amount", "credit_amount", "payment_amount", "balance"),
)
"""Table and constraint, and the columns of a line's worth, its two uses and what is left."""

HEADS = (
    (
        "credit_memos",
        "amounts",
        "amount >= 0 AND applied_amount >= 0 AND refund_amount >= 0 AND applied_amount + refund_amount <= amount",
        "least(applied_amount, refund_amount, unapplied_amount) >= 0",
    ),
    *(
        (
            table,
            "balance",
            "amount < 0 OR (amount - credit_amount - payment_amount BETWEEN 0 AND amount)",
            "amount < 0 OR balance BETWEEN 0 AND amount",
        )
        for table in ("invoices", "debit_memos")
    ),
)
"""Table and constraint, and its condition before and after."""

CHECKS = """
SELECT relname, conname, pg_get_constraintdef(found.oid)
FROM pg_constraint AS found JOIN pg_class AS changed ON changed.oid = conrelid
WHERE contype = 'c' AND connamespace = current_schema()::regnamespace
"""
WORDS = re.compile(r"CHECK \(\((\w+) = ANY \((?:ARRAY\[(.*)\]|'{(.*)}'::text\[\])\)\)\)(?: NOT VALID)?")
"""How PostgreSQL tells the constraint of a vocabulary: the column, and its words in one of two ways."""


def upgrade() -> None:
    """Say them in fewer words; the rows, which met them before, are read after the commit (see `upgrade`)."""
    if op.get_bind().dialect.name == "postgresql":
        _say({name: after for name, (_, after) in _amounts().items()}, _as_array, " NOT VALID")


def downgrade() -> None:
    """Say them as before."""
    if op.get_bind().dialect.name == "postgresql":
        _say({name: before for name, (before, _) in _amounts().items()}, _as_list)


def _amounts() -> dict[tuple[str, str], tuple[str, str]]:
    """By table and constraint, its condition before and after."""
    found = {(table, f"ck_{table}_{name}"): (before, after) for table, name, before, after in HEADS}
    for table, name, worth, first, second, left in LINES:
        found[table, f"ck_{table}_{name}"] = (
            f"({worth} >= 0 AND {first} >= 0 AND {second} >= 0 AND {first} + {second} <= {worth})"
            f" OR ({worth} < 0 AND {first} <= 0 AND {second} <= 0 AND {first} + {second} >= {worth})",
            f"least({first}, {second}, {left}) >= 0 OR greatest({first}, {second}, {left}) <= 0",
        )
    return found


def _as_array(column: str, words: list[str]) -> str:
    return f"{column} = ANY ('{{{','.join(words)}}}'::text[])"


def _as_list(column: str, words: list[str]) -> str:
    listed = ", ".join(f"'{word}'" for word in words)
    return f"{column} IN ({listed})"


def _say(conditions: dict[tuple[str, str], str], vocabulary: Callable[[str, list[str]], str], valid: str = "") -> None:
    """Replace these constraints and those of all vocabularies."""
    changes: defaultdict[str, list[str]] = defaultdict(list)
    for table, name, definition in op.get_bind().execute(sa.text(CHECKS)).all():
        condition = conditions.get((table, name))
        found = WORDS.fullmatch(definition)
        if found and name == f"ck_{table}_{found[1]}":
            condition = vocabulary(found[1], re.findall(r"\w+", (found[2] or found[3]).replace("::text", "")))
        if condition is not None:
            changes[table] += [f"DROP CONSTRAINT {name}", f"ADD CONSTRAINT {name} CHECK ({condition}){valid}"]
    for table, changed in sorted(changes.items()):
        op.get_bind().exec_driver_sql(f"ALTER TABLE {table} {', '.join(changed)}")
