"""What happened to money and stays on record: the application ledger and refunds."""

from sqlalchemy import CheckConstraint, Column, Date, Index, Table, UniqueConstraint

from cm_graphql.domain.enums import (
    GatewayState,
    LedgerKind,
    PaymentMethodType,
    RefundStatus,
    RefundType,
    TransferredToAccounting,
)
from cm_graphql.store.tables._columns import (
    accounting_codes,
    amount,
    audit,
    currency,
    custom_fields,
    id_column,
    index,
    metadata,
    net_suite,
    plain_id,
    position,
    reference,
    words,
)
from cm_graphql.store.types import JsonText, Timestamp, enum_column

# Rows of this module outlive the memo they tell of (it can be unposted, canceled and deleted), so ids of memos and of
# their lines have no foreign key here; neither have lines of targets, which a later sync may replace.

credit_memo_applications = Table(
    "credit_memo_applications",
    metadata,
    id_column(),
    *enum_column("kind", LedgerKind),
    plain_id("credit_memo_id", nullable=False),
    plain_id("application_group_id", nullable=False),
    reference("invoice_id", "invoices", nullable=True),
    reference("debit_memo_id", "debit_memos", nullable=True),
    plain_id("refund_id"),
    currency(),
    amount("amount"),
    Column("effective_date", Date, nullable=False),
    words("by_id", nullable=False),
    Column("at", Timestamp, nullable=False),
    CheckConstraint("amount >= 0", name="amount"),
    CheckConstraint("invoice_id IS NULL OR debit_memo_id IS NULL", name="one_target"),
    CheckConstraint("(kind = 'REFUND') = (invoice_id IS NULL AND debit_memo_id IS NULL)", name="target"),
    index("credit_memo_applications", "credit_memo_id", "effective_date"),
    index("credit_memo_applications", "invoice_id"),
    index("credit_memo_applications", "debit_memo_id"),
)
"""The application ledger, append-only: one row per target an action moved money to or from; the kind says which way."""

credit_memo_application_items = Table(
    "credit_memo_application_items",
    metadata,
    id_column(),
    reference("application_id", "credit_memo_applications", cascade=True),
    plain_id("credit_memo_id", nullable=False),
    position(),
    currency(),
    amount("amount"),
    plain_id("credit_memo_item_id"),
    plain_id("credit_tax_item_id"),
    plain_id("invoice_item_id"),
    plain_id("debit_memo_item_id"),
    plain_id("tax_item_id"),
    CheckConstraint("amount <> 0", name="amount"),
    CheckConstraint("(credit_memo_item_id IS NULL) <> (credit_tax_item_id IS NULL)", name="one_source"),
    index("credit_memo_application_items", "application_id", "position"),
    index("credit_memo_application_items", "credit_memo_id"),
)
"""The lines of a ledger entry; negative only between negative lines."""

refunds = Table(
    "refunds",
    metadata,
    id_column(),
    words("number", nullable=False),
    reference("account_id", "accounts"),
    plain_id("credit_memo_id"),
    plain_id("payment_id"),
    currency(),
    amount("amount"),
    *enum_column("type", RefundType),
    *enum_column("method_type", PaymentMethodType),
    *enum_column("status", RefundStatus),
    Column("refund_date", Date, nullable=False),
    words("reason_code"),
    words("comment"),
    reference("payment_method_id", "payment_methods", nullable=True),
    plain_id("payment_method_snapshot_id"),
    words("gateway_id"),
    words("gateway_response"),
    words("gateway_response_code"),
    *enum_column("gateway_state", GatewayState),
    Column("gateway_options", JsonText),
    words("reference_id"),
    words("second_refund_reference_id"),
    words("soft_descriptor"),
    words("soft_descriptor_phone"),
    Column("marked_for_submission_on", Timestamp),
    Column("submitted_on", Timestamp),
    Column("settled_on", Timestamp),
    Column("refund_transaction_time", Timestamp),
    Column("cancelled_on", Timestamp),
    *accounting_codes("bank_account", "unapplied_payment", "on_account"),
    *enum_column("transferred_to_accounting", TransferredToAccounting, default=TransferredToAccounting.NO),
    Column("custom_rates", JsonText),
    words("organization_label"),
    custom_fields(),
    net_suite(),
    *audit(),
    UniqueConstraint("number"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("(credit_memo_id IS NULL) <> (payment_id IS NULL)", name="one_source"),
    index("refunds", "account_id", "number"),
    index("refunds", "credit_memo_id"),
    index("refunds", "payment_method_id"),
)

Index(
    "uq_refunds_processing",
    refunds.c.credit_memo_id,
    unique=True,
    sqlite_where=refunds.c.status == RefundStatus.PROCESSING.value,
    postgresql_where=refunds.c.status == RefundStatus.PROCESSING.value,
)
"""While a refund is at the payment gateway its memo is held, so that there is one at most (docs/decisions/0004)."""

refund_parts = Table(
    "refund_parts",
    metadata,
    id_column(),
    reference("refund_id", "refunds", cascade=True),
    currency(),
    amount("amount"),
    plain_id("credit_memo_id"),
    plain_id("payment_id"),
    *audit(),
    CheckConstraint("amount > 0", name="amount"),
    index("refund_parts", "refund_id"),
)

refund_item_parts = Table(
    "refund_item_parts",
    metadata,
    id_column(),
    reference("refund_id", "refunds", cascade=True),
    reference("refund_part_id", "refund_parts", cascade=True),
    position(),
    currency(),
    amount("amount"),
    plain_id("credit_memo_item_id"),
    plain_id("credit_tax_item_id"),
    *audit(),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("credit_memo_item_id IS NULL OR credit_tax_item_id IS NULL", name="one_source"),
    index("refund_item_parts", "refund_id", "position"),
    index("refund_item_parts", "refund_part_id"),
)
