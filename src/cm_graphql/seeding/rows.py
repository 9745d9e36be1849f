"""The made-up rows as drivers take them: which columns are filled, what ids look like, and how moments are spelled."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from cm_graphql.store.database import Dialect
from cm_graphql.store.types import timestamp_text

Row = tuple[Any, ...]

AUDIT: Final = ("created_by_id", "created_date", "updated_by_id", "updated_date")
_CHARGE: Final = (
    "sku",
    "unit_of_measure",
    "deferred_revenue_accounting_code",
    "recognized_revenue_accounting_code",
    "revenue_recognition_rule_name",
)
_TAX: Final = (
    "name",
    "jurisdiction",
    "location_code",
    "tax_code",
    "tax_rate",
    "tax_rate_description",
    "sales_tax_payable_accounting_code",
)

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "contacts": (
        *("id", "first_name", "last_name", "work_email", "address1", "city", "state", "postal_code", "country"),
        *AUDIT,
    ),
    "accounts": (
        *("id", "number", "name", "currency", "bill_to_contact_id", "additional_email_addresses"),
        *("payment_term_days", "gateway_id", "custom_fields", *AUDIT),
    ),
    "payment_methods": ("id", "account_id", "type", "electronic", *AUDIT),
    "product_rate_plan_charges": (
        *("id", "name", "charge_model", "charge_type", "taxable", "tax_mode", "tax_code"),
        *("effective_start_date", *_CHARGE, *AUDIT),
    ),
    "product_rate_plan_charge_prices": ("charge_id", "currency", "price"),
    "invoices": (
        *("id", "invoice_number", "account_id", "currency", "invoice_date", "due_date"),
        *("amount", "tax_amount", "amount_without_tax", "credit_amount", "payment_amount", *AUDIT),
    ),
    "invoice_items": (
        *("id", "position", "charge_amount", "tax_amount", "credit_amount", "payment_amount"),
        *("processing_type", "applied_to_item_id", "quantity", "unit_price"),
        *("invoice_id", "currency", "tax_mode", "service_start_date", "service_end_date", *AUDIT),
        *("product_rate_plan_charge_id", "charge_name", "product_name", "tax_code", "source_item_type", *_CHARGE),
    ),
    "invoice_taxation_items": (
        *("id", "invoice_item_id", "position", "tax_amount", "exempt_amount", "credit_amount", "payment_amount"),
        *("invoice_id", "currency", "tax_date", *AUDIT, "engine", *_TAX),
    ),
    "debit_memos": (
        *("id", "number", "account_id", "currency", "debit_memo_date", "due_date"),
        *("amount", "tax_amount", "total_tax_exempt_amount", "credit_amount", "comment", "reason_code"),
        *("referred_credit_memo_id", "source_type", "posted_by_id", "posted_on", "bill_to_contact_id", *AUDIT),
    ),
    "debit_memo_items": (
        *("id", "position", "amount", "amount_without_tax", "credit_amount"),
        *("processing_type", "applied_to_item_id", "quantity", "unit_price", "source_item_id"),
        *("debit_memo_id", "currency", "tax_mode", "source_item_type", *AUDIT),
        *("product_rate_plan_charge_id", "sku_name", *_CHARGE),
    ),
    "debit_memo_taxation_items": (
        *("id", "memo_item_id", "position", "tax_amount", "exempt_amount", "credit_amount", "source_tax_item_id"),
        *("debit_memo_id", "currency", "tax_date", *AUDIT, *_TAX),
    ),
    "credit_memos": (
        *("id", "number", "account_id", "currency", "bill_to_contact_id", "status", "credit_memo_date", "target_date"),
        *("amount", "tax_amount", "total_tax_exempt_amount", "applied_amount", "refund_amount"),
        *("comment", "reason_code", "source", "source_type", "source_id", "referred_invoice_id"),
        *("auto_apply_upon_posting", "exclude_from_auto_apply_rules", "reversed", "transferred_to_accounting"),
        *("tax_status", "tax_message", "posted_by_id", "posted_on", "cancelled_by_id", "cancelled_on"),
        *("custom_fields", "version", *AUDIT),
    ),
    "credit_memo_items": (
        *("id", "position", "amount", "amount_without_tax", "applied_amount", "refund_amount"),
        *("processing_type", "applied_to_item_id", "quantity", "unit_price", "source_item_id"),
        *("credit_memo_id", "currency", "tax_mode", "tax_auto_calculation", "source_item_type"),
        *("service_start_date", "service_end_date", *AUDIT, "sku_name", *_CHARGE),
    ),
    "credit_memo_taxation_items": (
        *("id", "memo_item_id", "position", "tax_amount", "exempt_amount", "applied_amount", "refund_amount"),
        *("source_tax_item_id", "credit_memo_id", "currency", "tax_date", *AUDIT, *_TAX),
    ),
    "credit_memo_parts": ("id", "amount", "invoice_id", "debit_memo_id", "credit_memo_id", "currency", *AUDIT),
    "credit_memo_item_parts": (
        *("id", "part_id", "position", "amount", "credit_memo_item_id", "credit_tax_item_id"),
        *("invoice_item_id", "debit_memo_item_id", "tax_item_id", "credit_memo_id", "currency", *AUDIT),
    ),
    "credit_memo_applications": (
        *("id", "kind", "application_group_id", "invoice_id", "debit_memo_id", "refund_id", "amount"),
        *("effective_date", "by_id", "at", "credit_memo_id", "currency"),
    ),
    "credit_memo_application_items": (
        *("id", "application_id", "position", "amount", "credit_memo_item_id", "credit_tax_item_id"),
        *("invoice_item_id", "debit_memo_item_id", "tax_item_id", "credit_memo_id", "currency"),
    ),
    "refunds": (
        *("id", "number", "account_id", "credit_memo_id", "currency", "amount", "type", "method_type", "status"),
        *("refund_date", "reason_code", "comment", "payment_method_id", "gateway_id", "gateway_response"),
        *("gateway_response_code", "gateway_state", "reference_id", "submitted_on", "refund_transaction_time", *AUDIT),
    ),
    "refund_parts": ("id", "refund_id", "currency", "amount", "credit_memo_id", *AUDIT),
    "refund_item_parts": (
        *("id", "refund_id", "refund_part_id", "position", "currency", "amount"),
        *("credit_memo_item_id", "credit_tax_item_id", *AUDIT),
    ),
    "credit_memo_events": (
        *("id", "credit_memo_id", "credit_memo_number", "account_id", "currency", "action", "by_id", "at"),
        *("effective_date", "amounts_before", "amounts_after", "targets", "note"),
    ),
}
"""Of each table the columns that are written, parents before children; the others keep their defaults."""

NOWHERE: Final = (None, None, None)
"""The target columns of money that lies on no document."""


class Rows:
    """Rows on their way to the database, a list for each table."""

    def __init__(self) -> None:
        self.of: dict[str, list[Row]] = {name: [] for name in COLUMNS}

    def take(self) -> dict[str, list[Row]]:
        """Hand over what has gathered, and begin anew."""
        for name in COLUMNS:
            assert not self.of[name] or len(self.of[name][0]) == len(COLUMNS[name]), f"{name} has columns and values"
        taken = {name: list(rows) for name, rows in self.of.items()}
        for rows in self.of.values():
            rows.clear()
        return taken


# --- ids --------------------------------------------------------------------------------------------------------------

SEEDS: Final = 1 << 28
"""How many seeds there are: each has ids of its own."""

SUFFIX: Final = [f"{number:04x}" for number in range(1 << 12)]
"""What follows the stem of a document in the ids of its lines."""


def stem(second: int, seed: int, serial: int) -> str:
    """The 28 digits that the ids of one document and of its lines begin with.

    Like any UUIDv7 it begins with the moment, so that ids sort in the order of creation.
    """
    assert serial < 1 << 28
    moment = BEGINNING_MS + second * 1000
    return f"{moment:012x}7{seed >> 16:03x}8{seed & 0xFFFF:04x}{serial:07x}"


# --- time -------------------------------------------------------------------------------------------------------------

BEGINNING: Final = datetime(2024, 1, 1, tzinfo=UTC)
"""The first moment of the made-up past; moments are told in seconds, and days in days, since then."""

BEGINNING_MS: Final = int(BEGINNING.timestamp()) * 1000

DAYS: Final = 731
"""The years 2024 and 2025: nothing made up lies in anybody's future."""

DAY: Final = 86_400
"""Seconds of a day."""


class Spelling:
    """How one of the two drivers takes a day and a moment."""

    def __init__(self, dialect: Dialect) -> None:
        dates = [BEGINNING.date() + timedelta(days=day) for day in range(DAYS + 1000)]
        self._text = dialect == "sqlite"
        self.days: list[date | str] = [day.isoformat() for day in dates] if self._text else list(dates)
        self._clock = [timestamp_text(BEGINNING + timedelta(seconds=second))[10:] for second in range(DAY)]

    def moment(self, second: int) -> datetime | str:
        """A moment as the driver takes it."""
        if self._text:
            return f"{self.days[second // DAY]}{self._clock[second % DAY]}"
        return BEGINNING + timedelta(seconds=second)
