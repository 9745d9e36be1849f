"""Accounts, charges, payment methods and past credit memos that come in, and what of them is refused."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import refused, refused_for
from cm_graphql.domain import intake
from cm_graphql.domain.billing import Account, Charge
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import LineFinanceInformation, NetSuite
from cm_graphql.domain.commands.intake import (
    BillToContact,
    ChargePrice,
    SyncedAccount,
    SyncedCreditMemo,
    SyncedCreditMemoItem,
    SyncedCreditMemoTaxItem,
    SyncedPaymentMethod,
    SyncedProductRatePlanCharge,
)
from cm_graphql.domain.enums import (
    AccountStatus,
    ChargeModel,
    ChargeType,
    ItemSourceType,
    MemoSource,
    MemoStatus,
    PaymentMethodType,
    ProcessingType,
    SourceType,
    TaxMode,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.money import Currency
from cm_graphql.domain.records import CreditMemo, FinanceInformation
from drafting import ACCOUNT, the_stamp
from makers import NOW, USD, a_memo, units

SETS = ("DEFAULT", "EMEA")


# --- accounts ---------------------------------------------------------------------------------------------------------


def account(existing: Account | None = None, currency: Currency | None = USD, **fields: Any) -> Account:
    given: dict[str, Any] = {"number": "A-1", "name": "Lovelace", "currency": "USD", **fields}
    return intake.account(SyncedAccount(**given), existing, currency, SETS, the_stamp())


def test_an_account_is_what_it_is_told_to_be() -> None:
    contact = BillToContact(first_name="Ada", work_email="ada@example.com", state="CA", country="US")

    made = account(
        bill_to_contact=contact,
        additional_email_addresses=("a@example.com",),
        sequence_set="EMEA",
        gateway_id="gw",
        custom_fields={"A__c": 1},
    )

    assert made.id.startswith("acc_")
    assert (made.number, made.name, made.status, made.payment_term_days) == (
        "A-1",
        "Lovelace",
        AccountStatus.ACTIVE,
        30,
    )
    assert made.bill_to is not None
    assert made.bill_to.id.startswith("con_")
    assert (made.bill_to.first_name, made.bill_to.work_email, made.bill_to.state) == ("Ada", "ada@example.com", "CA")
    assert (made.sequence_set, made.gateway_id, made.custom_fields) == ("EMEA", "gw", {"A__c": 1})


def test_an_account_is_replaced_as_a_whole_but_keeps_its_ids() -> None:
    first = account(bill_to_contact=BillToContact(first_name="Ada"), gateway_id="gw")

    again = account(first, name="Byron", bill_to_contact=BillToContact(last_name="B"))

    assert (again.id, again.name, again.gateway_id) == (first.id, "Byron", None)
    assert first.bill_to is not None
    assert again.bill_to is not None
    assert (again.bill_to.id, again.bill_to.first_name) == (first.bill_to.id, None)
    assert account(first).bill_to is None
    assert account(id=Key("7" * 32)).id == "acc_" + "7" * 32


def test_faults_of_an_account_are_told_together() -> None:
    with refused_for(
        (ErrorCode.INVALID_VALUE, "id"),
        (ErrorCode.INVALID_VALUE, "number"),
        (ErrorCode.FIELD_REQUIRED, "name"),
        (ErrorCode.INVALID_VALUE, "currency"),
        (ErrorCode.INVALID_VALUE, "payment_term_days"),
        (ErrorCode.INVALID_VALUE, "sequence_set"),
        (ErrorCode.TOO_LONG, "gateway_id"),
        (ErrorCode.INVALID_VALUE, "custom_fields"),
        (ErrorCode.TOO_LONG, "bill_to_contact", "city"),
        (ErrorCode.INVALID_VALUE, "bill_to_contact", "work_email"),
        (ErrorCode.INVALID_VALUE, "additional_email_addresses", 1),
    ):
        account(
            currency=None,
            id=Key("x"),
            number="0" * 32,
            name=" ",
            payment_term_days=-1,
            sequence_set="APAC",
            gateway_id="x" * 256,
            custom_fields={"a": 1},
            bill_to_contact=BillToContact(city="x" * 256, work_email="ada"),
            additional_email_addresses=("a@b", "a b@c"),
        )


@pytest.mark.parametrize("address", ["", "@b", "a@", "a@b,c@d", "a@b\n", "<a@b>", "x" * 250 + "@b.de"])
def test_what_no_mail_server_takes_is_no_address(address: str) -> None:
    with refused(ErrorCode.INVALID_VALUE, "additional_email_addresses", 0):
        account(additional_email_addresses=(address,))


def test_an_account_has_at_most_100_further_addresses_and_one_number() -> None:
    with refused(ErrorCode.LIMIT_EXCEEDED, "additional_email_addresses"):
        account(additional_email_addresses=("a@b",) * 101)
    with refused(ErrorCode.NUMBER_TAKEN, "number", saying=ACCOUNT.id):
        account(ACCOUNT, id=Key("7" * 32))


# --- charges ----------------------------------------------------------------------------------------------------------


def charge(existing: Charge | None = None, **fields: Any) -> Charge:
    given: dict[str, Any] = {
        "name": "Support",
        "charge_model": ChargeModel.PER_UNIT,
        "charge_type": ChargeType.USAGE,
        "prices": (ChargePrice(currency="USD", price=Decimal("1.005")),),
    }
    told = SyncedProductRatePlanCharge(**{**given, **fields})
    return intake.charge(told, existing, ("USD", "EUR"), the_stamp())


def test_a_charge_is_what_it_is_told_to_be() -> None:
    made = charge(
        sku="S",
        taxable=True,
        tax_mode=TaxMode.TAX_INCLUSIVE,
        tax_code="T",
        unit_of_measure="call",
        effective_start_date=date(2026, 1, 1),
        effective_end_date=date(2026, 1, 1),
        finance_information=LineFinanceInformation(on_account_accounting_code="A"),
    )

    assert made.id.startswith("chg_")
    assert made.prices == {"USD": Decimal("1.005")}
    assert (made.sku, made.taxable, made.tax_mode, made.tax_code) == ("S", True, TaxMode.TAX_INCLUSIVE, "T")
    assert made.finance == FinanceInformation(on_account_accounting_code="A")
    assert not made.is_discount
    assert charge(made, name="Help").id == made.id


def test_faults_of_a_charge_are_told_together() -> None:
    twice = (
        ChargePrice(currency="USD", price=Decimal(1)),
        ChargePrice(currency="USD", price=Decimal(1)),
        ChargePrice(currency="ABC", price=Decimal("1e9")),
    )

    with refused_for(
        (ErrorCode.FIELD_REQUIRED, "name"),
        (ErrorCode.TOO_LONG, "sku"),
        (ErrorCode.INVALID_VALUE, "effective_end_date"),
        (ErrorCode.INVALID_VALUE, "prices", 1, "currency"),
        (ErrorCode.INVALID_VALUE, "prices", 2, "currency"),
        (ErrorCode.INVALID_VALUE, "prices", 2, "price"),
    ):
        charge(
            name="",
            sku="x" * 256,
            prices=twice,
            effective_start_date=date(2026, 1, 2),
            effective_end_date=date(2026, 1, 1),
        )


def test_a_payment_method_belongs_to_an_account() -> None:
    told = SyncedPaymentMethod(
        id=Key("7" * 32), account_key=Key("A-1"), type=PaymentMethodType.CREDIT_CARD, electronic=True
    )

    made = intake.payment_method(told, ACCOUNT.id)

    assert (made.id, made.account_id, made.electronic) == ("pm_" + "7" * 32, ACCOUNT.id, True)
    with refused(ErrorCode.INVALID_VALUE, "id"):
        intake.payment_method(replace(told, id=Key("nope")), ACCOUNT.id)


# --- envelopes --------------------------------------------------------------------------------------------------------


def test_a_sync_takes_1_to_100_documents_and_20_000_lines() -> None:
    intake.check_envelope([1] * 100, "invoices", 20_000)
    with refused(ErrorCode.FIELD_REQUIRED, "invoices"):
        intake.check_envelope([], "invoices")
    with refused_for((ErrorCode.LIMIT_EXCEEDED, "invoices")):
        intake.check_envelope([1] * 101, "invoices", 20_001)


# --- past credit memos ------------------------------------------------------------------------------------------------


def a_tax(amount: str, **fields: Any) -> SyncedCreditMemoTaxItem:
    given: dict[str, Any] = {"name": "VAT", "tax_rate": Decimal("0.1"), **fields}
    return SyncedCreditMemoTaxItem(tax_amount=Decimal(amount), **given)


def an_item(amount: str = "10.00", *taxes: SyncedCreditMemoTaxItem, **fields: Any) -> SyncedCreditMemoItem:
    given: dict[str, Any] = {
        "sku_name": "Seats",
        "source_item_type": ItemSourceType.SUBSCRIPTION_COMPONENT,
        "source_item_id": Key("A-S1"),
        "tax_items": taxes,
    }
    return SyncedCreditMemoItem(amount=Decimal(amount), **{**given, **fields})


def past(*items: SyncedCreditMemoItem, existing: CreditMemo | None = None, **fields: Any) -> CreditMemo:
    given: dict[str, Any] = {
        "number": "CM-9",
        "account_key": Key("A-1"),
        "credit_memo_date": date(2020, 1, 1),
        "source": MemoSource.BILL_RUN,
        "source_type": SourceType.SUBSCRIPTION,
        "source_id": "BR-1",
        "items": items or (an_item(),),
    }
    told = SyncedCreditMemo(**{**given, **fields})
    return intake.credit_memo(told, existing, ACCOUNT.id, None, USD, the_stamp())


def test_a_past_memo_arrives_posted_and_wholly_unapplied() -> None:
    memo = past(
        an_item("10.00", a_tax("1.00", source_tax_item_id=Key("7" * 32))),
        an_item("-2.00", processing_type=ProcessingType.DISCOUNT, applied_to_item_index=0),
        an_item("0.00"),
        net_suite=NetSuite(origin="NS"),
    )

    assert memo.status is MemoStatus.POSTED
    assert (memo.amount, memo.unapplied) == (units("9.00"), units("9.00"))
    assert memo.unapplied_part is not None
    assert [part.amount for part in memo.unapplied_part.item_parts] == [units("10.00"), units("1.00"), units("-2.00")]
    assert (memo.source, memo.source_id, memo.posted_on) == (MemoSource.BILL_RUN, "BR-1", NOW)
    assert memo.items[1].applied_to_item_id == memo.items[0].id
    assert memo.items[0].taxation_items[0].source_tax_item_id == "int_" + "7" * 32
    assert (memo.items[0].source_item_id, memo.net_suite) == ("A-S1", {"origin": "NS"})
    assert not memo.items[0].tax_auto_calculation


@pytest.mark.parametrize("status", [status for status in MemoStatus if status is not MemoStatus.POSTED])
def test_a_past_memo_has_any_status(status: MemoStatus) -> None:
    memo = past(status=status)

    assert (memo.status, memo.parts) == (status, ())
    assert (memo.cancelled_on is not None) == (status is MemoStatus.CANCELED)


def test_a_past_inclusive_line_is_gross() -> None:
    (line,) = past(an_item("12.30", a_tax("2.30"), tax_mode=TaxMode.TAX_INCLUSIVE)).items

    assert (line.amount, line.net) == (units("12.30"), units("10.00"))


def test_a_past_memo_not_in_use_is_replaced_and_one_in_use_stays() -> None:
    first = past(an_item("10.00", a_tax("1.00")))
    again = past(an_item("5.00", a_tax("0.50")), existing=first)
    assert (again.id, again.amount) == (first.id, units("5.50"))
    assert [line.id for line in again.lines] == [line.id for line in first.lines]

    with refused(ErrorCode.DOCUMENT_IN_USE):
        past(existing=replace(a_memo("10.00"), reversed=True))
    with refused(ErrorCode.NUMBER_TAKEN, "number"):
        past(existing=first, id=Key("7" * 32))


def test_an_id_that_moves_to_another_line_of_a_past_memo_is_given_to_one_line_alone() -> None:
    first = past(an_item("1.00", a_tax("0.10")), an_item("2.00", a_tax("0.20")))
    old = [item.taxation_items[0].id for item in first.items]

    again = past(an_item("1.00", a_tax("0.10", id=Key(old[1]))), an_item("2.00", a_tax("0.20")), existing=first)

    assert len({line.id for line in again.lines}) == 4
    assert again.amount == units("3.30")


def test_a_past_discount_is_of_a_line_that_is_none_itself() -> None:
    discount: dict[str, Any] = {"processing_type": ProcessingType.DISCOUNT}

    with refused(ErrorCode.INVALID_VALUE, "items", 2, "applied_to_item_index", saying="item 1 is a discount itself"):
        past(
            an_item("9.00"),
            an_item("-1.00", **discount, applied_to_item_index=0),
            an_item("-1.00", **discount, applied_to_item_index=1),
        )


def test_the_sums_of_a_past_memo_have_13_digits() -> None:
    most = Decimal("9999999999999.99")

    with refused(ErrorCode.INVALID_VALUE, "items", saying="13 integer digits"):
        past(an_item("1.00", a_tax("0", exempt_amount=most), a_tax("0", exempt_amount=most)))


def test_faults_of_a_past_memo_are_told_together() -> None:
    with refused_for(
        (ErrorCode.INVALID_VALUE, "id"),
        (ErrorCode.INVALID_VALUE, "number"),
        (ErrorCode.TOO_LONG, "comment"),
        (ErrorCode.TOO_LONG, "source_id"),
        (ErrorCode.INVALID_VALUE, "auto_apply_upon_posting"),
        (ErrorCode.FIELD_REQUIRED, "items", 0, "sku_name"),
        (ErrorCode.INVALID_VALUE, "items", 0, "processing_type"),
        (ErrorCode.INVALID_VALUE, "items", 0, "source_item_id"),
        (ErrorCode.INVALID_VALUE, "items", 0, "applied_to_item_index"),
        (ErrorCode.AMOUNT_PRECISION, "items", 1, "amount"),
        (ErrorCode.INVALID_VALUE, "items", 1),
        (ErrorCode.INVALID_VALUE, "items", 2, "amount"),
        (ErrorCode.INVALID_VALUE, "items", 3, "tax_items", 0, "tax_amount"),
        (ErrorCode.FIELD_REQUIRED, "items", 3, "tax_items", 0, "name"),
        (ErrorCode.INVALID_VALUE, "items", 3, "tax_items"),
    ):
        past(
            an_item(
                id=Key("7" * 32),
                sku_name="",
                processing_type=ProcessingType.TAX,
                source_item_type=ItemSourceType.INVOICE_DETAIL,
                applied_to_item_index=1,
            ),
            an_item("0.001", id=Key("cmi_" + "7" * 32)),
            an_item("1.00", processing_type=ProcessingType.DISCOUNT),
            an_item("1.00", a_tax("-1.00", name=""), a_tax("2.01"), tax_mode=TaxMode.TAX_INCLUSIVE),
            id=Key("x"),
            number="a b",
            comment="x" * 256,
            source_id="x" * 256,
            auto_apply_upon_posting=True,
        )
    with refused(ErrorCode.INVALID_VALUE, "items", saying="less than 0"):
        past(an_item("-1.00"))
    with refused(ErrorCode.FIELD_REQUIRED, "items"):
        intake.credit_memo(
            SyncedCreditMemo(
                number="1",
                account_key=Key("A"),
                credit_memo_date=date(2020, 1, 1),
                source=MemoSource.API,
                source_type=SourceType.ORDER,
                items=(),
            ),
            None,
            ACCOUNT.id,
            None,
            USD,
            the_stamp(),
        )
