"""Customers' accounts, and the contacts and payment methods that belong to them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select

from cm_graphql.api.types.shared import AUDIT, CUSTOM_FIELDS, CurrencyAmount
from cm_graphql.domain.enums import MemoStatus
from cm_graphql.fields.declare import Node, Order, column, loaded, many, node, one
from cm_graphql.store import tables as t
from cm_graphql.store.lists import among
from cm_graphql.store.sums import split_sum, whole_sum

__all__ = ["Account", "Contact", "PaymentMethod"]


def _unapplied(dialect: str, accounts: Sequence[str]) -> Select[Any]:
    """What can be used of accounts' memos, added up by currency."""
    memos = t.credit_memos
    return (
        select(memos.c.account_id, memos.c.currency, *split_sum(memos.c.unapplied_amount))
        .where(
            among(dialect, memos.c.account_id, accounts),
            memos.c.status == MemoStatus.POSTED,
            memos.c.unapplied_amount > 0,
        )
        .group_by(memos.c.account_id, memos.c.currency)
        .order_by(memos.c.account_id, memos.c.currency)
    )


@node(
    "acc",
    t.accounts,
    description="A customer's account, which owns documents.",
    scope="documents:read",
    owner=lambda accounts: accounts.c.id,
    filters=("id", "number", "name", "currency", "status", "created_date", "updated_date"),
    sorts=("number", "name", "currency", "status", "created_date", "updated_date"),
    search=(t.accounts.c.number, t.accounts.c.name),
    order=(Order("number"),),
    also={**CUSTOM_FIELDS, **AUDIT},
)
class Account(Node):
    """An account (domain.md 2.9)."""

    number = column("The number.")
    name = column("The name.")
    currency = column("The ISO 4217 code that its documents have unless they say otherwise.")
    status = column("Whether it is in use.")
    bill_to_contact_id = column("The contact billed.")
    bill_to_contact = one("Contact", "The contact billed.")
    additional_email_addresses = column("Where documents are mailed to as well.", type=list[str])
    payment_term_days = column("How many days after its date a document is due.")
    gateway_id = column("The payment gateway for electronic refunds; null for the default.")
    sequence_set_id = column("The set of number sequences of its documents; null for `DEFAULT`.")
    sequence_set = column("The name of that set; null for `DEFAULT`.", of=t.sequence_sets.c.name, via="sequence_set_id")

    credit_memos = many("CreditMemo", "Its credit memos.", by="account_id")
    invoices = many("Invoice", "Its invoices.", by="account_id")
    debit_memos = many("DebitMemo", "Its debit memos.", by="account_id")
    refunds = many("Refund", "Its refunds.", by="account_id")
    payment_methods = many("PaymentMethod", "Its payment methods.", by="account_id")

    unapplied_credit_memo_amounts = loaded(
        "What its posted credit memos have unapplied, by currency; a currency without any is left out.",
        type=list[CurrencyAmount],
        statement=_unapplied,
        of=lambda rows: [CurrencyAmount.of(whole_sum(high, low), currency) for _, currency, high, low in rows],
        scope="credit_memos:read",
    )


@node(
    "con",
    t.contacts,
    description="A person to write to.",
    scope="documents:read",
    owner=lambda contacts: (
        select(t.accounts.c.id).where(t.accounts.c.bill_to_contact_id == contacts.c.id).limit(1).scalar_subquery()
    ),
    also=AUDIT,
)
class Contact(Node):
    """A contact (domain.md 2.9)."""

    first_name = column("The first name.")
    last_name = column("The last name.")
    work_email = column("The mail address at work; documents are mailed there first.")
    personal_email = column("The private mail address; used when there is none at work.")
    address1 = column("Street and house number.")
    city = column("The city.")
    state = column("The state or province.")
    postal_code = column("The postal code.")
    country = column("The country.")


@node(
    "pm",
    t.payment_methods,
    description="A way to pay money back to a customer.",
    scope="documents:read",
    owner=lambda methods: methods.c.account_id,
    filters=("id", "type", "electronic", "created_date"),
    sorts=("type", "created_date", "updated_date"),
    order=(Order("created_date"),),
    also=AUDIT,
)
class PaymentMethod(Node):
    """A payment method (domain.md 2.9)."""

    account_id = column("The account it belongs to.")
    account = one("Account", "The account it belongs to.")
    type = column("What it is.")
    electronic = column("Whether a payment gateway can use it.")
