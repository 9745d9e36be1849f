"""What an update changes of the memo itself, by status, and each refusal of domain.md 1.10."""

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from asking import refused, refused_for
from cm_graphql.domain import editing
from cm_graphql.domain.commands.base import UNSET, Key
from cm_graphql.domain.commands.creation import NetSuite
from cm_graphql.domain.commands.editing import (
    CreditMemoChanges,
    CreditMemoItemUpdate,
    CreditMemoUpdate,
    UpdateCreditMemo,
    UpdateCreditMemos,
)
from cm_graphql.domain.enums import MemoSource, MemoStatus, ReasonCodeType, TransferredToAccounting
from cm_graphql.domain.errors import ErrorCode
from cm_graphql.domain.records import CreditMemo, Invoice
from cm_graphql.domain.rulebook import ReasonCode, RuleBook
from drafting import TAXED, a_charge, asking_charges, draft, draft_of, of_charge, the_stamp
from makers import TODAY, a_book, a_memo, units

SUPPORT = a_charge()
ALONE = draft_of(asking_charges(of_charge(SUPPORT, "20.00")), SUPPORT)
CREDITED = draft(TAXED, "50.00")
YES = TransferredToAccounting.YES


def update(
    memo: CreditMemo, invoice: Invoice | None = None, book: RuleBook | None = None, **changes: Any
) -> CreditMemo:
    command = UpdateCreditMemo(key=Key(memo.id), **changes)
    return editing.update(command, memo, invoice, {}, book or a_book(), the_stamp())


GIVEN: dict[str, Any] = {
    "auto_apply_upon_posting": True,
    "exclude_from_auto_apply_rules": True,
    "comment": "new",
    "effective_date": date(2026, 3, 10),
    "reason_code": "correcting invoice error",
    "transferred_to_accounting": YES,
    "items": (CreditMemoItemUpdate(id=Key(CREDITED.items[0].id), description="x"),),
    "net_suite": NetSuite(origin="NS"),
    "custom_fields": {"A__c": 1},
}
ALWAYS = {"transferred_to_accounting", "net_suite", "custom_fields"}
POSTED = {*ALWAYS, "comment", "reason_code", "exclude_from_auto_apply_rules"}


def test_every_field_is_in_the_matrix() -> None:
    assert set(GIVEN) == {field.name for field in fields(CreditMemoChanges)}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize(
    ("status", "editable"),
    [(MemoStatus.DRAFT, set(GIVEN)), (MemoStatus.POSTED, POSTED), (MemoStatus.CANCELED, ALWAYS)],
)
def test_what_can_change_depends_on_the_status(status: MemoStatus, editable: set[str], name: str) -> None:
    memo = a_memo(*CREDITED.items, status=status, referred_invoice_id=TAXED.id)

    if name in editable:
        update(memo, TAXED, **{name: GIVEN[name]})
    else:
        with refused(ErrorCode.INVALID_STATUS, name, saying=status.spelled):
            update(memo, TAXED, **{name: GIVEN[name]})


@pytest.mark.parametrize(
    "status",
    [MemoStatus.ERROR, MemoStatus.PENDING_FOR_TAX, MemoStatus.GENERATING, MemoStatus.CANCEL_IN_PROGRESS],
)
def test_memos_on_their_way_cannot_be_updated_at_all(status: MemoStatus) -> None:
    memo = a_memo("10.00", status=status)

    with refused(ErrorCode.INVALID_STATUS, saying=status.spelled):
        update(memo)
    with refused(ErrorCode.INVALID_STATUS):
        editing.check_update(memo)


def test_what_is_left_out_stays() -> None:
    memo = replace(
        ALONE, comment="old", net_suite={"origin": "a", "sync_date": "b"}, custom_fields={"A__c": 1, "B__c": 2}
    )

    assert update(memo) == memo
    assert update(memo, items=()) == memo
    changed = update(memo, net_suite=NetSuite(origin="z", sync_date=None), custom_fields={"B__c": None, "C__c": 3})
    assert changed.net_suite == {"origin": "z"}
    assert changed.custom_fields == {"A__c": 1, "C__c": 3}
    assert changed.comment == "old"


def test_null_clears_what_can_be_empty() -> None:
    memo = replace(ALONE, comment="old", net_suite={"origin": "a"}, custom_fields={"A__c": 1})

    changed = update(memo, comment=None, reason_code=None, net_suite=None, custom_fields=None)

    assert (changed.comment, changed.reason_code, changed.net_suite, changed.custom_fields) == (None, None, {}, {})


def test_null_is_refused_where_it_has_no_meaning() -> None:
    names = (
        "auto_apply_upon_posting",
        "exclude_from_auto_apply_rules",
        "effective_date",
        "transferred_to_accounting",
    )

    with refused_for(*((ErrorCode.INVALID_VALUE, name) for name in names)):
        update(ALONE, **dict.fromkeys(names))


def test_shape_faults_are_told_together() -> None:
    with refused_for(
        (ErrorCode.TOO_LONG, "comment"),
        (ErrorCode.TOO_LONG, "net_suite", "transaction"),
        (ErrorCode.INVALID_VALUE, "custom_fields"),
        (ErrorCode.INVALID_VALUE, "auto_apply_upon_posting"),
    ):
        update(
            ALONE,
            comment="x" * 256,
            net_suite=NetSuite(transaction="x" * 256),
            custom_fields={"A": 1},
            auto_apply_upon_posting=True,
        )


def test_only_a_memo_from_an_invoice_applies_itself_at_posting() -> None:
    assert update(CREDITED, TAXED, auto_apply_upon_posting=True).auto_apply_upon_posting
    assert not update(ALONE, auto_apply_upon_posting=False).auto_apply_upon_posting


def test_a_new_date_is_held_to_the_invoice_and_to_open_periods() -> None:
    book = a_book(closed=[(date(2026, 3, 1), date(2026, 3, 31))])

    assert update(CREDITED, TAXED, effective_date=date(2026, 2, 1)).credit_memo_date == date(2026, 2, 1)
    with refused(ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE, "effective_date"):
        update(CREDITED, TAXED, effective_date=date(2026, 1, 31))
    with refused(ErrorCode.DATE_IN_CLOSED_PERIOD, "effective_date"):
        update(CREDITED, TAXED, book=book, effective_date=TODAY)
    assert update(CREDITED, TAXED, book=book, comment="the date stays").credit_memo_date == TODAY


def test_a_reason_code_must_be_active_unless_it_is_the_one_there_is() -> None:
    old = ReasonCode(name="Old", type=ReasonCodeType.CREDIT_MEMO, active=False)
    book = replace(a_book(), reason_codes=(*a_book().reason_codes, old))

    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code"):
        update(ALONE, book=book, reason_code="Old")
    assert update(replace(ALONE, reason_code="Old"), book=book, reason_code="OLD").reason_code == "Old"
    assert update(ALONE, book=book, reason_code="").reason_code is None


def test_lines_of_a_bill_run_cannot_change() -> None:
    memo = replace(ALONE, source=MemoSource.BILL_RUN)

    with refused(ErrorCode.BILL_RUN_ITEM_NOT_EDITABLE, "items"):
        update(memo, items=(CreditMemoItemUpdate(id=Key(memo.items[0].id), description="x"),))
    assert update(memo, comment="but the rest can").comment == "but the rest can"


def test_the_lines_of_a_posted_memo_stay_even_when_their_change_makes_no_sense() -> None:
    memo = a_memo("10.00")

    with refused(ErrorCode.INVALID_STATUS, "items"):
        update(memo, items=(CreditMemoItemUpdate(id=Key(memo.items[0].id), description="x"),))


def test_classes_of_refusals_come_in_their_order() -> None:
    posted = replace(a_memo("10.00"), referred_invoice_id=TAXED.id)
    late: dict[str, Any] = {"effective_date": date(2020, 1, 1), "reason_code": "nope"}

    with refused(ErrorCode.TOO_LONG, "comment"):
        update(posted, TAXED, comment="x" * 256, **late)
    with refused(ErrorCode.INVALID_STATUS, "effective_date"):
        update(posted, TAXED, **late)
    with refused(ErrorCode.MEMO_DATE_BEFORE_INVOICE_DATE, "effective_date"):
        update(CREDITED, TAXED, **late)
    with refused(ErrorCode.REASON_CODE_INVALID, "reason_code"):
        update(CREDITED, TAXED, reason_code="nope")


# --- permissions of their own -----------------------------------------------------------------------------------------


def command(**changes: Any) -> CreditMemoChanges:
    return CreditMemoChanges(**changes)


def test_a_reason_code_that_stays_needs_no_permission() -> None:
    assert not editing.changes_reason(command(), ALONE)
    assert not editing.changes_reason(command(reason_code="CORRECTING INVOICE ERROR"), ALONE)
    assert editing.changes_reason(command(reason_code=None), ALONE)
    assert editing.changes_reason(command(reason_code="Other"), ALONE)
    assert not editing.changes_reason(command(reason_code=""), replace(ALONE, reason_code=None))


def test_only_leaving_yes_needs_the_override() -> None:
    transferred = replace(ALONE, transferred_to_accounting=YES)

    assert editing.leaves_transferred(command(transferred_to_accounting=TransferredToAccounting.NO), transferred)
    assert not editing.leaves_transferred(command(transferred_to_accounting=YES), transferred)
    assert not editing.leaves_transferred(command(), transferred)
    assert not editing.leaves_transferred(command(transferred_to_accounting=YES), ALONE)


def test_a_name_unlike_the_source_is_told_apart() -> None:
    line = Key(ALONE.items[0].id)
    names = {SUPPORT.id: "Support"}

    def renames(memo: CreditMemo = ALONE, **change: Any) -> bool:
        return editing.renames(command(items=(CreditMemoItemUpdate(**change),)), memo, names)

    assert renames(id=line, sku_name="Help")
    assert not renames(id=line, sku_name="Support")
    assert not renames(id=line, sku_name=UNSET)
    renamed = replace(ALONE, items=(replace(ALONE.items[0], sku_name="Help"),))
    assert not renames(renamed, id=line, sku_name="Help")
    assert not renames(renamed, id=line, sku_name="Support")
    assert not renames(product_rate_plan_charge_id=Key(SUPPORT.id), sku_name="Support")
    assert renames(product_rate_plan_charge_id=Key(SUPPORT.id), sku_name="Help")


def test_a_bulk_update_takes_1_to_50_memos() -> None:
    one = CreditMemoUpdate(key=Key("CM1"))

    editing.check_envelope(UpdateCreditMemos(memos=(one,) * 50))
    with refused(ErrorCode.FIELD_REQUIRED, "memos"):
        editing.check_envelope(UpdateCreditMemos(memos=()))
    with refused(ErrorCode.LIMIT_EXCEEDED, "memos", saying="51"):
        editing.check_envelope(UpdateCreditMemos(memos=(one,) * 51))


def test_the_amount_stays_where_no_line_changes() -> None:
    assert update(CREDITED, TAXED, comment="x").amount == units("55.00")
