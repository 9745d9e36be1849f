"""The data model of domain.md section 2: one table each, columns named after the API's fields in snake case.

Where a row can express an invariant of domain.md 4.2, a CHECK constraint states it a second time, beside the domain.
"""

from cm_graphql.store.tables._columns import metadata
from cm_graphql.store.tables.memos import (
    credit_memo_item_parts,
    credit_memo_items,
    credit_memo_parts,
    credit_memo_taxation_items,
    credit_memos,
)
from cm_graphql.store.tables.movements import (
    credit_memo_application_items,
    credit_memo_applications,
    refund_item_parts,
    refund_parts,
    refunds,
)
from cm_graphql.store.tables.records import (
    credit_memo_events,
    credit_memo_files,
    credit_memo_jobs,
    credit_memo_pdf_requests,
    idempotency_keys,
)
from cm_graphql.store.tables.reference import (
    accounting_periods,
    accounts,
    api_keys,
    contacts,
    currencies,
    payment_methods,
    product_rate_plan_charge_prices,
    product_rate_plan_charges,
    reason_codes,
    registered_documents,
    sequence_sets,
    sequences,
    settings,
    tax_rates,
)
from cm_graphql.store.tables.targets import (
    debit_memo_items,
    debit_memo_taxation_items,
    debit_memos,
    invoice_items,
    invoice_taxation_items,
    invoices,
)

__all__ = [
    "accounting_periods",
    "accounts",
    "api_keys",
    "contacts",
    "credit_memo_application_items",
    "credit_memo_applications",
    "credit_memo_events",
    "credit_memo_files",
    "credit_memo_item_parts",
    "credit_memo_items",
    "credit_memo_jobs",
    "credit_memo_parts",
    "credit_memo_pdf_requests",
    "credit_memo_taxation_items",
    "credit_memos",
    "currencies",
    "debit_memo_items",
    "debit_memo_taxation_items",
    "debit_memos",
    "idempotency_keys",
    "invoice_items",
    "invoice_taxation_items",
    "invoices",
    "metadata",
    "payment_methods",
    "product_rate_plan_charge_prices",
    "product_rate_plan_charges",
    "reason_codes",
    "refund_item_parts",
    "refund_parts",
    "refunds",
    "registered_documents",
    "sequence_sets",
    "sequences",
    "settings",
    "tax_rates",
]
