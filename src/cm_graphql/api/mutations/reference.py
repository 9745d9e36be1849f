"""Mutations by which a tenant says how its own books are kept."""

import strawberry

from cm_graphql.api.payloads import bulk_mutation, mutation
from cm_graphql.api.types.settings import read_currency, read_settings, read_tax_rate
from cm_graphql.operations import reference


@strawberry.type
class Reference:
    """What a tenant says of its own books."""

    update_settings = mutation(
        reference.update_settings,
        "Changes the tenant's settings; what is left out stays as it is.",
        settings=("Settings", "The settings as they are now.", read_settings),
    )
    sync_reason_codes = bulk_mutation(
        reference.sync_reason_codes,
        "SyncReasonCodesResult",
        "Creates or replaces reason codes, each found by its type and name.",
        reason_code=("ReasonCode", "The reason code as it is now."),
    )
    sync_accounting_periods = bulk_mutation(
        reference.sync_accounting_periods,
        "SyncAccountingPeriodsResult",
        "Creates or replaces accounting periods, each found by its name; closes and reopens them.",
        accounting_period=("AccountingPeriod", "The accounting period as it is now."),
    )
    sync_currencies = bulk_mutation(
        reference.sync_currencies,
        "SyncCurrenciesResult",
        "Says how currencies are used, each found by its code.",
        currency=("Currency", "The currency as it is now.", read_currency),
    )
    sync_tax_rates = bulk_mutation(
        reference.sync_tax_rates,
        "SyncTaxRatesResult",
        "Creates or replaces rates of the tax engine `table`, each found by its tax code, jurisdiction and name.",
        tax_rate=("TaxRate", "The tax rate as it is now.", read_tax_rate),
    )
