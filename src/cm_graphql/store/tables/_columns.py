"""The metadata that all tables share, and the groups of columns that many of them have."""

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    false,
    text,
    true,
)

from cm_graphql.store.types import Amount, Condition, Id, JsonText, PlainText, Timestamp

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
"""Every table of the product; names of constraints are the same on both databases, so that migrations can drop them."""

ROOM_FOR_CHANGES: Final = {"fillfactor": 85}
"""`postgresql_with` of tables whose rows change in columns that no index has. PostgreSQL writes a changed row anew, and
into every index of its table, unless the row's page has room for it."""


def id_column() -> Column[str]:
    """The primary key `id`."""
    return Column("id", Id, primary_key=True)


def reference(name: str, target: str, *, nullable: bool = False, cascade: bool = False) -> Column[str]:
    """A foreign key to `target.id`; with `cascade` the row goes when its parent goes."""
    return Column(name, Id, ForeignKey(f"{target}.id", ondelete="CASCADE" if cascade else None), nullable=nullable)


def sibling(name: str, table: str) -> Column[str]:
    """A foreign key to another row of the same table, checked at commit so that rows may come in any order."""
    return Column(name, Id, ForeignKey(f"{table}.id", deferrable=True, initially="DEFERRED"))


def plain_id(name: str, *, nullable: bool = True) -> Column[str]:
    """An id without a foreign key: it names one of several tables, something outside, or what may be gone by now."""
    return Column(name, Id, nullable=nullable)


def words(name: str, *, nullable: bool = True, default: str | None = None) -> Column[str]:
    """Text."""
    return Column(name, PlainText, nullable=nullable, server_default=default)


def flag(name: str, *, default: bool = False) -> Column[bool]:
    """A Boolean that is never null."""
    return Column(name, Boolean, nullable=False, server_default=true() if default else false())


def amount(name: str) -> Column[int]:
    """Money, never null, 0 until told."""
    return Column(name, Amount, nullable=False, server_default=text("0"))


def derived_amount(name: str, expression: str) -> Column[int]:
    """Money that the database derives from the row and stores, so that it can be filtered, sorted and indexed."""
    return Column(name, Amount, Computed(expression, persisted=True))


def currency() -> Column[str]:
    """The ISO code that the row's amounts are in; every row with money has its own, so that it can be shown alone."""
    return Column("currency", PlainText, nullable=False)


def position() -> Column[int]:
    """The row's place within its document, in order of creation."""
    return Column("position", Integer, nullable=False)


def audit() -> tuple[Column[Any], ...]:
    """Who made the row and who changed it last, and when."""
    return (
        Column("created_by_id", PlainText, nullable=False),
        Column("created_date", Timestamp, nullable=False),
        Column("updated_by_id", PlainText, nullable=False),
        Column("updated_date", Timestamp, nullable=False),
    )


def custom_fields() -> Column[Any]:
    """The `__c` fields (domain.md 0, Custom fields), an object."""
    return Column("custom_fields", JsonText, nullable=False, server_default="{}")


def net_suite() -> Column[Any]:
    """The NetSuite fields (domain.md 0), an object with the names of the API's `netSuite` in snake case."""
    return Column("net_suite", JsonText, nullable=False, server_default="{}")


def accounting_codes(*names: str) -> tuple[Column[Any], ...]:
    """`<name>_accounting_code` and `<name>_accounting_code_type` for each name (domain.md 2.2, financeInformation)."""
    return tuple(words(f"{name}_accounting_code{suffix}") for name in names for suffix in ("", "_type"))


def line_finance() -> tuple[Column[Any], ...]:
    """The finance information of a document line (domain.md 2.2)."""
    return (
        *accounting_codes("deferred_revenue", "recognized_revenue", "on_account", "non_revenue_write_off"),
        words("revenue_recognition_rule_name"),
        words("revenue_schedule_number"),
    )


def tax_finance() -> tuple[Column[Any], ...]:
    """The finance information of a taxation item (domain.md 2.3)."""
    return accounting_codes("on_account", "sales_tax_payable")


def within(worth: str, first: str, second: str, *, left: str, name: str) -> CheckConstraint:
    """Both uses of a line keep its sign and together never pass its worth (domain.md 4.2.2).

    In other words neither use, nor what is `left` of it, differs in sign from another.
    """
    return CheckConstraint(
        Condition(
            f"({worth} >= 0 AND {first} >= 0 AND {second} >= 0 AND {first} + {second} <= {worth})"
            f" OR ({worth} < 0 AND {first} <= 0 AND {second} <= 0 AND {first} + {second} >= {worth})",
            f"least({first}, {second}, {left}) >= 0 OR greatest({first}, {second}, {left}) <= 0",
        ),
        name=name,
    )


def index(table: str, *columns: str) -> Index:
    """An index named by convention; list it inside its table."""
    return Index(f"ix_{table}_{'_'.join(columns)}", *columns)
