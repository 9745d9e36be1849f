"""Mutations that bring in documents of the systems that keep them."""

import strawberry

from cm_graphql.api.payloads import bulk_mutation
from cm_graphql.operations import intake


@strawberry.type
class Intake:
    """What a billing system tells us."""

    sync_accounts = bulk_mutation(
        intake.sync_accounts,
        "SyncAccountsResult",
        "Creates or replaces accounts, each found by its id, else by its number.",
        account=("Account", "The account as it is now."),
    )
    sync_product_rate_plan_charges = bulk_mutation(
        intake.sync_product_rate_plan_charges,
        "SyncProductRatePlanChargesResult",
        "Creates or replaces charges of the catalog, each found by its id, or by its name when it is given none.",
        product_rate_plan_charge=("ProductRatePlanCharge", "The charge as it is now."),
    )
    sync_invoices = bulk_mutation(
        intake.sync_invoices,
        "SyncInvoicesResult",
        "Creates or replaces invoices, each found by its id, else by its number. Of one that a credit memo was made "
        "from or applied to only payments, due date, texts and custom fields change.",
        invoice=("Invoice", "The invoice as it is now."),
    )
    sync_debit_memos = bulk_mutation(
        intake.sync_debit_memos,
        "SyncDebitMemosResult",
        "Creates or replaces debit memos, each found by its id, else by its number. Of one that a credit memo was "
        "applied to only payments, due date, texts and custom fields change.",
        debit_memo=("DebitMemo", "The debit memo as it is now."),
    )
    sync_payment_methods = bulk_mutation(
        intake.sync_payment_methods,
        "SyncPaymentMethodsResult",
        "Creates or replaces payment methods, each found by its id.",
        payment_method=("PaymentMethod", "The payment method as it is now."),
    )
    sync_credit_memos = bulk_mutation(
        intake.sync_credit_memos,
        "SyncCreditMemosResult",
        "Brings in past credit memos with their history elsewhere behind them, each found by its id, else by its "
        "number; a posted one arrives wholly unapplied. One that was applied, refunded or reversed stays as it is. "
        "For administrators: needs `settings:write` too.",
        credit_memo=("CreditMemo", "The memo as it is now."),
    )
