"""Paying back what is unapplied: lines, methods, gateways, and each refusal of domain.md 1.22."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from asking import applying, refused, refused_for
from cm_graphql.domain import refunds, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.creation import CreditMemoCustomRate
from cm_graphql.domain.commands.refunds import (
    CreditMemoRefundItem,
    GatewayOption,
    RefundCreditMemo,
    RefundFinanceInformation,
    RefundNetSuite,
)
from cm_graphql.domain.enums import (
    ApplicationRule,
    GatewayState,
    LedgerKind,
    MemoStatus,
    PaymentMethodType,
    RefundStatus,
    RefundType,
    TransferredToAccounting,
)
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo
from cm_graphql.domain.refunds import GatewayAnswer, PaymentMethod, Refunding
from cm_graphql.domain.rulebook import RuleBook
from makers import NOW, TODAY, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_item, units

BOOK = a_book()
CARD = PaymentMethod(id="pm_1", account_id=f"acc_{1:032x}", type=PaymentMethodType.CREDIT_CARD, electronic=True)
APPROVED = GatewayAnswer(
    approved=True, state=GatewayState.SUBMITTED, response="Approved", response_code="00", reference_id="gw-1"
)


def external(memo: CreditMemo, amount: str, **fields: Any) -> RefundCreditMemo:
    """A request to record a refund by check; `items` as (credit line, amount)."""
    given: dict[str, Any] = {"type": RefundType.EXTERNAL, "method_type": PaymentMethodType.CHECK, **fields}
    if "items" in given:
        given["items"] = tuple(
            CreditMemoRefundItem(
                amount=Decimal(share),
                credit_memo_item_id=Key(line) if line.startswith("cmi_") else None,
                credit_tax_item_id=Key(line) if line.startswith("cmt_") else None,
            )
            for line, share in given["items"]
        )
    return RefundCreditMemo(key=Key(memo.id), total_amount=Decimal(amount), **given)


def electronic(memo: CreditMemo, amount: str, **fields: Any) -> RefundCreditMemo:
    """A request to have the card refunded."""
    return external(
        memo,
        amount,
        **{"type": RefundType.ELECTRONIC, "method_type": None, "payment_method_id": Key(CARD.id), **fields},
    )


def refund(
    memo: CreditMemo,
    command: RefundCreditMemo,
    answer: GatewayAnswer | None = None,
    method: PaymentMethod | None = None,
    book: RuleBook = BOOK,
) -> Refunding:
    stamp = a_stamp()
    plan = refunds.prepare(memo, command, method, "gateway-1", book, stamp)
    return refunds.refund(plan, answer, "R-00000001", stamp)


# --- what it does -----------------------------------------------------------------------------------------------------


def test_the_worked_example_refunds_the_first_open_line_first() -> None:
    memo, invoice = a_memo(an_item("30.00", a_tax("3.00")), "20.00"), a_target(("50.00", "5.00"), "33.33", "-10.00")
    prorated = a_book(application_rule=ApplicationRule.PRORATION)
    applied = settlement.apply(memo, [invoice], applying(memo, (invoice, "40.00")), prorated, a_stamp()).memo

    after = refund(applied, external(applied, "5.00")).memo

    assert [USD.show(line.unapplied) for line in after.lines] == ["2.36", "0.74", "4.90"]
    assert [USD.show(amount) for amount in (after.applied, after.unapplied, after.refunded)] == [
        *("40.00", "8.00", "5.00")
    ]
    assert after.unapplied_part is not None
    assert USD.show(after.unapplied_part.amount) == "8.00"


def test_an_external_refund_is_processed_at_once() -> None:
    memo = a_memo(an_item("4.00", a_tax("0.40")))

    after = refund(memo, external(memo, "4.40", reference_id="check 17", comment="Sorry"))

    record = after.refund
    assert (record.status, record.gateway_state) == (RefundStatus.PROCESSED, GatewayState.NOT_SUBMITTED)
    assert (record.amount, record.currency, record.refund_date) == (units("4.40"), "USD", TODAY)
    assert (record.type, record.method_type) == (RefundType.EXTERNAL, PaymentMethodType.CHECK)
    assert (record.number, record.account_id, record.credit_memo_id) == ("R-00000001", memo.account_id, memo.id)
    assert (record.reference_id, record.comment, record.reason_code) == ("check 17", "Sorry", "Standard Refund")
    assert (record.payment_method_id, record.gateway_id, record.submitted_on) == (None, None, None)


def test_a_refund_remembers_the_lines_it_came_from() -> None:
    memo = a_memo(an_item("4.00", a_tax("0.40")))

    after = refund(memo, external(memo, "4.40"))

    part = after.refund.part
    assert part is not None
    assert part.credit_memo_id == memo.id
    assert [(item.source_id, item.amount) for item in part.item_parts] == [
        (memo.lines[0].id, units("4.00")),
        (memo.lines[1].id, units("0.40")),
    ]
    (entry,) = after.entries
    assert (entry.kind, entry.refund_id, entry.target_id) == (LedgerKind.REFUND, after.refund.id, None)
    assert [(line.source_id, line.target_id) for line in entry.lines] == [(line.id, None) for line in memo.lines]
    assert after.memo.parts == (), "a memo refunded in full has no parts"


def test_named_lines_are_refunded_as_asked() -> None:
    memo = a_memo(an_item("4.00", a_tax("0.40")), "6.00")
    lines = [line.id for line in memo.lines]
    items = [(lines[1], "0.40"), (lines[2], "1.00"), (lines[2], "2.00")]

    after = refund(memo, external(memo, "3.40", items=items)).memo

    assert [USD.show(line.refunded) for line in after.lines] == ["0.00", "0.40", "3.00"]


def test_negative_lines_are_never_refunded_and_stay_open_at_net_zero() -> None:
    memo = a_memo("10.00", "-4.00")

    after = refund(memo, external(memo, "6.00")).memo

    assert [USD.show(line.unapplied) for line in after.lines] == ["4.00", "-4.00"]
    assert after.unapplied_part is not None
    assert after.unapplied_part.amount == 0


def test_what_else_is_said_of_a_refund_is_kept() -> None:
    memo = a_memo()
    command = external(
        memo,
        "1.00",
        refund_date=date(2026, 3, 2),
        reason_code="customer request",
        second_refund_reference_id="second",
        soft_descriptor="ACME",
        soft_descriptor_phone="555",
        custom_rates=(CreditMemoCustomRate(currency="EUR", custom_fx_rate=Decimal("0.9")),),
        finance_information=RefundFinanceInformation(
            bank_account_accounting_code="Bank", transferred_to_accounting=TransferredToAccounting.YES
        ),
        net_suite=RefundNetSuite(origin="here"),
        custom_fields={"why__c": "because"},
    )

    record = refund(memo, command).refund

    assert (record.refund_date, record.reason_code) == (date(2026, 3, 2), "Customer Request")
    assert (record.second_refund_reference_id, record.soft_descriptor) == ("second", "ACME")
    assert record.soft_descriptor_phone == "555"
    assert [(rate.currency, rate.custom_fx_rate) for rate in record.custom_rates] == [("EUR", Decimal("0.9"))]
    assert record.bank_account_accounting_code == "Bank"
    assert record.transferred_to_accounting is TransferredToAccounting.YES
    assert (record.net_suite, record.custom_fields) == ({"origin": "here"}, {"why__c": "because"})


# --- gateways ---------------------------------------------------------------------------------------------------------


def test_an_electronic_refund_records_what_the_gateway_said() -> None:
    memo = a_memo()
    command = electronic(memo, "2.00", gateway_options=(GatewayOption(key="mid", value="7"),), reference_id="ours")

    after = refund(memo, command, APPROVED, CARD)

    record = after.refund
    assert (record.status, record.gateway_state) == (RefundStatus.PROCESSED, GatewayState.SUBMITTED)
    assert (record.method_type, record.payment_method_id) == (PaymentMethodType.CREDIT_CARD, CARD.id)
    assert (record.gateway_id, record.gateway_options) == ("gateway-1", {"mid": "7"})
    assert (record.gateway_response, record.gateway_response_code) == ("Approved", "00")
    assert record.reference_id == "gw-1", "the gateway's own reference wins"
    assert (record.submitted_on, record.settled_on, record.refund_transaction_time) == (NOW, None, NOW)
    assert after.memo.refunded == units("2.00")


def test_a_refund_that_the_gateway_settles_at_once_is_settled() -> None:
    memo = a_memo()
    settled = GatewayAnswer(approved=True, state=GatewayState.SETTLED)

    record = refund(memo, electronic(memo, "2.00"), settled, CARD).refund

    assert (record.submitted_on, record.settled_on) == (NOW, NOW)


def test_a_refund_that_the_gateway_declines_leaves_the_memo_as_it_is() -> None:
    memo = a_memo()
    declined = GatewayAnswer(approved=False, state=GatewayState.NOT_SUBMITTED, response="Declined")

    after = refund(memo, electronic(memo, "2.00"), declined, CARD)

    assert after.memo is memo
    assert after.entries == ()
    assert (after.refund.status, after.refund.part, after.refund.amount) == (RefundStatus.ERROR, None, units("2.00"))
    assert (after.refund.gateway_response, after.refund.submitted_on) == ("Declined", None)


# --- dates ------------------------------------------------------------------------------------------------------------


def test_a_refund_is_not_earlier_than_its_memo() -> None:
    memo = a_memo(credit_memo_date=date(2026, 4, 1))

    assert refund(memo, external(memo, "1.00")).refund.refund_date == date(2026, 4, 1)
    assert refund(memo, electronic(memo, "1.00"), APPROVED, CARD).refund.refund_date == date(2026, 4, 1)
    with refused(ErrorCode.REFUND_DATE_TOO_EARLY, "refund_date", saying="on or after 2026-04-01"):
        refund(memo, external(memo, "1.00", refund_date=date(2026, 3, 31)))


def test_a_refund_does_not_fall_into_a_closed_period() -> None:
    memo = a_memo()
    book = a_book(closed=[(TODAY, TODAY)])

    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "refund_date"):
        refund(memo, electronic(memo, "1.00"), APPROVED, CARD, book)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [MemoStatus.DRAFT, MemoStatus.CANCELED])
def test_only_a_posted_memo_is_refunded(status: MemoStatus) -> None:
    memo = a_memo(status=status)

    with refused(ErrorCode.INVALID_STATUS, saying="only a Posted credit memo can be refunded"):
        refund(memo, external(memo, "1.00"))


def test_only_what_is_unapplied_is_refunded() -> None:
    memo = a_memo("10.00", "-4.00")

    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, "total_amount", saying="has 6.00 unapplied"):
        refund(memo, external(memo, "6.01"))
    refunds.check_anything_to_refund(memo)
    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, saying="unapply first"):
        refunds.check_anything_to_refund(refund(memo, external(memo, "6.00")).memo)


def test_a_named_line_gives_no_more_than_it_has() -> None:
    memo = a_memo("4.00", "6.00")
    line = memo.lines[0].id

    with refused(ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED, "items", 1, "amount", saying="has 4.00 unapplied"):
        refund(memo, external(memo, "5.00", items=[(line, "3.00"), (line, "2.00")]))


def test_items_add_up_to_the_total() -> None:
    memo = a_memo()

    with refused(ErrorCode.ITEMS_SUM_MISMATCH, "total_amount", saying="add up to 1.00, not to the total amount 2.00"):
        refund(memo, external(memo, "2.00", items=[(memo.lines[0].id, "1.00")]))


def test_items_name_lines_of_this_memo_that_are_above_zero() -> None:
    memo, other = a_memo("10.00", "-1.00"), a_memo(number=2)
    items = [(memo.lines[0].id, "0.00"), (memo.lines[1].id, "1.00"), (other.lines[0].id, "1.00")]

    with refused_for(
        (ErrorCode.INVALID_VALUE, "items", 0, "amount"),
        (ErrorCode.INVALID_VALUE, "items", 1, "amount"),
        (ErrorCode.ITEM_PAIR_INVALID, "items", 2, "credit_memo_item_id"),
    ):
        refund(memo, external(memo, "2.00", items=items))


def test_an_external_refund_takes_a_method_type_and_nothing_of_the_other_kind() -> None:
    memo = a_memo()
    command = external(
        memo, "1.00", method_type=None, payment_method_id=Key("pm_1"), gateway_id="g", gateway_options=()
    )

    with refused_for(
        (ErrorCode.FIELD_REQUIRED, "method_type"),
        (ErrorCode.REFUND_METHOD_CONFLICT, "payment_method_id"),
        (ErrorCode.REFUND_METHOD_CONFLICT, "gateway_id"),
        (ErrorCode.REFUND_METHOD_CONFLICT, "gateway_options"),
    ):
        refund(memo, command)


def test_an_electronic_refund_takes_a_payment_method_and_nothing_of_the_other_kind() -> None:
    memo = a_memo()
    command = electronic(memo, "1.00", method_type=PaymentMethodType.ACH, payment_method_id=None, refund_date=TODAY)

    with refused_for(
        (ErrorCode.FIELD_REQUIRED, "payment_method_id"),
        (ErrorCode.REFUND_METHOD_CONFLICT, "method_type"),
        (ErrorCode.REFUND_METHOD_CONFLICT, "refund_date"),
    ):
        refund(memo, command, APPROVED)


def test_an_electronic_refund_goes_to_an_electronic_method_of_the_same_account() -> None:
    memo = a_memo()
    cash = PaymentMethod(id="pm_2", account_id=memo.account_id, type=PaymentMethodType.CASH, electronic=False)
    foreign = PaymentMethod(id="pm_3", account_id="acc_2", type=PaymentMethodType.ACH, electronic=True)

    with refused(ErrorCode.REFUND_METHOD_CONFLICT, "payment_method_id", saying="not electronic"):
        refund(memo, electronic(memo, "1.00"), APPROVED, cash)
    with refused(ErrorCode.ACCOUNT_MISMATCH, "payment_method_id", saying="belongs to account acc_2"):
        refund(memo, electronic(memo, "1.00"), APPROVED, foreign)


def test_all_faults_of_shape_are_told_together() -> None:
    memo = a_memo()
    command = external(
        memo,
        "-1.001",
        comment="x" * 256,
        reference_id="x" * 101,
        second_refund_reference_id="x" * 101,
        soft_descriptor="x" * 36,
        soft_descriptor_phone="x" * 21,
        custom_rates=(CreditMemoCustomRate(currency="EUR", custom_fx_rate=Decimal(0)),),
        finance_information=RefundFinanceInformation(on_account_accounting_code="x" * 101),
        net_suite=RefundNetSuite(sync_date="x" * 256),
        custom_fields={"why": "because"},
    )

    with refused_for(
        (ErrorCode.INVALID_VALUE, "total_amount"),
        (ErrorCode.AMOUNT_PRECISION, "total_amount"),
        (ErrorCode.TOO_LONG, "comment"),
        (ErrorCode.TOO_LONG, "reference_id"),
        (ErrorCode.TOO_LONG, "second_refund_reference_id"),
        (ErrorCode.TOO_LONG, "soft_descriptor"),
        (ErrorCode.TOO_LONG, "soft_descriptor_phone"),
        (ErrorCode.INVALID_VALUE, "custom_rates", 0, "custom_fx_rate"),
        (ErrorCode.TOO_LONG, "finance_information", "on_account_accounting_code"),
        (ErrorCode.TOO_LONG, "net_suite", "sync_date"),
        (ErrorCode.INVALID_VALUE, "custom_fields"),
    ):
        refund(memo, command)


def test_a_reason_code_exists_and_is_for_refunds() -> None:
    memo = a_memo()

    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code", saying="Unable to get the Reason Code by name: Write"):
        refund(memo, external(memo, "1.00", reason_code="Write-off"))
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code", saying="Standard Refund"):
        refund(memo, external(memo, "1.00"), book=RuleBook())


def test_a_refund_has_limits() -> None:
    many, few = a_memo(*["0.01"] * 15_001), a_memo()
    rate = CreditMemoCustomRate(currency="EUR", custom_fx_rate=Decimal(1))
    options = tuple(GatewayOption(key=str(n), value="") for n in range(101))

    assert refund(many, external(many, "150.00")).memo.unapplied == units("0.01")
    with refused(ErrorCode.LIMIT_EXCEEDED, saying="15001 lines would be refunded; at most 15000"):
        refund(many, external(many, "150.01"))
    with refused(ErrorCode.LIMIT_EXCEEDED, "items", saying="1001 items were given; at most 1000"):
        refund(few, external(few, "10.01", items=[(few.lines[0].id, "0.01")] * 1_001))
    with refused(ErrorCode.LIMIT_EXCEEDED, "custom_rates"):
        refund(few, external(few, "1.00", custom_rates=(rate,) * 3))
    with refused(ErrorCode.LIMIT_EXCEEDED, "gateway_options"):
        refund(few, electronic(few, "1.00", gateway_options=options), APPROVED, CARD)
