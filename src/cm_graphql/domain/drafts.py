"""What creating and editing a draft have in common: free-form fields, totals, the memo's date."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import date
from typing import Any, Protocol

from cm_graphql.domain import limits, shape
from cm_graphql.domain.commands.base import UNSET, Json, Key
from cm_graphql.domain.commands.creation import LineFinanceInformation, NetSuite, TaxFinanceInformation
from cm_graphql.domain.enums import ProcessingType
from cm_graphql.domain.errors import ErrorCode, Faults, refuse
from cm_graphql.domain.money import MAX_AMOUNT
from cm_graphql.domain.records import CreditMemoItem, FinanceInformation, Invoice, Stamp
from cm_graphql.domain.rulebook import RuleBook

Finance = LineFinanceInformation | TaxFinanceInformation


class Line(Protocol):
    """What the lines of all documents that come in have in common."""

    @property
    def processing_type(self) -> ProcessingType:
        """What it does to the total."""
        ...

    @property
    def applied_to_item_index(self) -> int | None:
        """Of a discount, the place of the line that is discounted."""
        ...


def check_finance(given: Finance | None, faults: Faults, *path: str | int) -> None:
    """Note TOO_LONG for names of accounting codes and rules over 100 characters."""
    if given is not None:
        for name, value in _given(given):
            shape.text(value, limits.CODE_NAME_LENGTH, faults, *path, "finance_information", name)


def finance(given: Finance | None, default: FinanceInformation) -> FinanceInformation:
    """The finance information that results: what was given, else the default's."""
    return default if given is None else replace(default, **dict(_given(given)))


def check_net_suite(given: NetSuite | None, faults: Faults) -> None:
    """Note TOO_LONG for NetSuite fields over 255 characters."""
    if given is not None:
        for name, value in _given(given):
            shape.text(value, limits.NET_SUITE_LENGTH, faults, "net_suite", name)


def net_suite(given: NetSuite | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """The NetSuite fields that result: those given change, a null one goes, the others stay."""
    return {} if given is None else _merged(before, dict(_given(given)))


def custom_fields(given: Json | None, before: Mapping[str, Any]) -> dict[str, Any]:
    """The custom fields that result: those given change, a null one goes, the others stay."""
    return {} if given is None else _merged(before, given)


def _given(record: Finance | NetSuite) -> Iterable[tuple[str, str | None]]:
    for field in fields(record):
        value = getattr(record, field.name)
        if value is not UNSET:
            yield field.name, value


def _merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**before, **changes}.items() if value is not None}


def claimed(given: Iterable[Key | None], prefix: str) -> frozenset[str]:
    """The ids that lines anywhere in a document ask for: no other line keeps one of them."""
    return frozenset(shape.as_id(key, prefix) for key in given if key is not None)


def line_ids(
    given: Sequence[Key | None], old: Sequence[str], claimed: Collection[str], prefix: str, stamp: Stamp
) -> list[str]:
    """The ids of lines: the one given, else the one that the line at this place had, else a new one."""
    ids = []
    for place, key in enumerate(given):
        if key is not None:
            ids.append(shape.as_id(key, prefix))
        elif place < len(old) and old[place] not in claimed:
            ids.append(old[place])
        else:
            ids.append(stamp.new_id(prefix))
    return ids


def check_service_dates(start: date | None, end: date | None, faults: Faults, *path: str | int) -> None:
    """Note INVALID_VALUE for a service that ends before it starts."""
    if start is not None and end is not None and end < start:
        message = f"The service ends on {end}, before it starts on {start}: give dates in their order."
        faults.add(ErrorCode.INVALID_VALUE, message, *path, "service_end_date")


def check_applied_to(items: Sequence[Line], index: int, faults: Faults) -> None:
    """Note INVALID_VALUE for a discount of what is no line, or is a discount itself (domain.md 2.2)."""
    target = items[index].applied_to_item_index
    if target is None:
        return
    if items[index].processing_type is not ProcessingType.DISCOUNT:
        why = "only a DISCOUNT is applied to another line"
    elif not 0 <= target < len(items):
        why = f"there are items 0 to {len(items) - 1}"
    elif items[target].processing_type is ProcessingType.DISCOUNT:
        why = f"item {target} is a discount itself"
    else:
        return
    message = f"appliedToItemIndex is {target}, but {why}."
    faults.add(ErrorCode.INVALID_VALUE, message, "items", index, "applied_to_item_index")


def check_total(items: Iterable[CreditMemoItem], *path: str | int) -> None:
    """Refuse lines that net below 0 or to more than 13 integer digits: INVALID_VALUE (domain.md 1.27, 7.11, 0)."""
    lines = tuple(items)
    if sum(item.net + item.tax for item in lines) < 0:
        raise refuse(
            ErrorCode.INVALID_VALUE, "The lines add up to less than 0: a credit memo's amount is at least 0.", *path
        )
    check_sums(
        "The lines",
        [(item.net, [(tax.tax_amount, tax.exempt_amount) for tax in item.taxation_items]) for item in lines],
        *path,
    )


def check_sums(what: str, lines: Iterable[tuple[int, Iterable[tuple[int, int]]]], *path: str | int) -> None:
    """Refuse lines of which any sum that is shown has more than 13 integer digits: INVALID_VALUE (domain.md 0).

    Each line is its net, and of each of its taxes the amount and what was exempt. Lines of the opposite sign can leave
    a small total with large taxes.
    """
    nets = taxes = exempts = 0
    for net, of_taxes in lines:
        tax = exempt = 0
        for amount, waived in of_taxes:
            tax += amount
            exempt += waived
        nets, taxes, exempts = nets + net, taxes + tax, exempts + exempt
        if max(abs(tax), abs(exempt)) > MAX_AMOUNT:
            raise refuse(
                ErrorCode.INVALID_VALUE, f"{what} have one whose taxes add up to more than 13 integer digits.", *path
            )
    if max(abs(nets), abs(taxes), abs(exempts), abs(nets + taxes)) > MAX_AMOUNT:
        raise refuse(ErrorCode.INVALID_VALUE, f"{what}, or their taxes, add up to more than 13 integer digits.", *path)


def check_not_zero(items: Iterable[CreditMemoItem], *path: str | int) -> None:
    """Refuse a memo that stands alone and is worth nothing: ZERO_AMOUNT (domain.md 1.2)."""
    if all(item.net == 0 and item.tax == 0 for item in items):
        raise refuse(ErrorCode.ZERO_AMOUNT, "Every line is 0: a memo made from charges credits something.", *path)


def memo_date(asked: date, invoice: Invoice | None, book: RuleBook) -> date:
    """Check the date of a memo against its invoice's and the accounting periods.

    Refuses with MEMO_DATE_BEFORE_INVOICE_DATE or DATE_IN_CLOSED_PERIOD (domain.md 1.27, 7.30).
    """
    if invoice is not None and asked < invoice.invoice_date:
        raise refuse(
            ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE,
            f"The memo's date {asked} is before {invoice.invoice_date}, the date of invoice {invoice.number}: "
            f"choose {invoice.invoice_date} or later.",
            "effective_date",
        )
    book.require_open(asked, "memo's date", "effective_date")
    return asked
