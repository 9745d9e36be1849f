"""Whether money ever appears or vanishes on the real store, whatever is done, in whatever order.

All actions pass the gate, over several memos, invoices, debit memos, currencies and tax modes. After each step every
amount of the database is added up again from the raw tables; each refusal must have left them as they were, and each
dry run must have come to what the real thing then comes to.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from attempts import LOOKED_INTO_ELSEWHERE, refusals, states
from cm_graphql.domain.commands.base import Command, Key
from cm_graphql.domain.commands.creation import (
    CreateCreditMemoFromCharges,
    CreateCreditMemoFromInvoice,
    CreateCreditMemos,
    CreditMemoFromCharges,
    CreditMemoFromInvoice,
    CreditMemoItemFromCharge,
    CreditMemoItemFromInvoice,
    CreditMemoTaxItem,
    NewCreditMemo,
)
from cm_graphql.domain.commands.editing import (
    CreditMemoItemUpdate,
    CreditMemoUpdate,
    UpdateCreditMemo,
    UpdateCreditMemos,
)
from cm_graphql.domain.commands.lifecycle import (
    CancelCreditMemo,
    DeleteCreditMemo,
    PostCreditMemo,
    ReverseCreditMemo,
    UnpostCreditMemo,
    WriteOffCreditMemo,
)
from cm_graphql.domain.commands.refunds import CreditMemoRefundItem, RefundCreditMemo
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    UnapplyCreditMemo,
)
from cm_graphql.domain.commands.taxation import CreateCreditMemoTaxationItems, NewTaxationItem
from cm_graphql.domain.enums import (
    ApplicationRule,
    MemoAction,
    PaymentMethodType,
    RefundType,
    TaxMode,
    TaxRateType,
    TransferredToAccounting,
)
from cm_graphql.domain.money import SCALE
from cm_graphql.operations import creation, editing, lifecycle, refunds, settlement, taxation
from cm_graphql.operations.gate import Action
from databases import Databases, Kind, chosen_kinds
from operating import TODAY
from surroundings import Surroundings
from tenant import (
    IN_A_CLOSED_PERIOD,
    OFTEN,
    SELDOM,
    Want,
    has_money,
    is_applied,
    is_canceled,
    is_draft,
    is_untaxed,
    is_unused,
    source_field,
    there_is,
)

_BY_KEY: dict[type[Command], Action[Any]] = {
    PostCreditMemo: lifecycle.post,
    UnpostCreditMemo: lifecycle.unpost,
    CancelCreditMemo: lifecycle.cancel,
    DeleteCreditMemo: lifecycle.delete,
    WriteOffCreditMemo: lifecycle.write_off,
    ReverseCreditMemo: lifecycle.reverse,
}


class Business(Surroundings):
    """What is done with credit memos, beside all else."""

    # --- making and changing drafts -----------------------------------------------------------------------------------

    def _from_invoice(self, data: st.DataObject) -> CreditMemoFromInvoice:
        invoice = self.pick(data, "invoices")
        automatic = data.draw(OFTEN, "automatic tax")
        lines: list[CreditMemoItemFromInvoice] = []
        for item in self.rows("invoice_items", invoice_id=invoice["id"]):
            taxes = self.rows("invoice_taxation_items", invoice_item_id=item["id"])
            computed = automatic and all(tax["engine"] == "ZUORA_TAX" for tax in taxes)
            mode = data.draw(st.sampled_from(list(TaxMode) if computed else [TaxMode.TAX_EXCLUSIVE]), "mode")
            by_hand = None
            is_by_hand = data.draw(SELDOM if automatic else OFTEN, "tax by hand")
            if taxes and is_by_hand:
                tax = Decimal(self.share(data, taxes[0]["tax_amount"], invoice["currency"])) / SCALE
                by_hand = (CreditMemoTaxItem(tax_amount=tax, source_tax_item_id=Key(taxes[0]["id"])),)
            lines.append(
                CreditMemoItemFromInvoice(
                    invoice_item_id=Key(item["id"]),
                    sku_name="Seats",
                    amount=Decimal(self.share(data, item["charge_amount"], invoice["currency"])) / SCALE,
                    tax_mode=mode,
                    tax_items=by_hand,
                )
            )
        kept = data.draw(st.integers(1, len(lines)), "lines")
        return CreditMemoFromInvoice(
            invoice_key=Key(invoice["id"]),
            items=tuple(lines[:kept]),
            tax_auto_calculation=automatic,
            auto_apply_to_invoice_upon_posting=data.draw(st.booleans(), "auto apply"),
            auto_post=data.draw(st.booleans(), "auto post"),
        )

    def _from_charges(self, data: st.DataObject) -> CreditMemoFromCharges:
        account, charge = data.draw(st.sampled_from(list(self.charges.items())), "account")
        currency = self.rows("accounts", id=account)[0]["currency"]
        given = data.draw(st.lists(st.booleans(), min_size=1, max_size=3), "given amounts")
        lines = tuple(
            CreditMemoItemFromCharge(
                product_rate_plan_charge_id=Key(charge),
                amount=self.amount(data, 30 * SCALE, currency) if is_given else None,
            )
            for is_given in given
        )
        return CreditMemoFromCharges(
            account_key=Key(account), charges=lines, auto_post=data.draw(st.booleans(), "auto post")
        )

    @rule(data=st.data())
    def credit_an_invoice(self, data: st.DataObject) -> None:
        self.act(data, creation.from_invoice, CreateCreditMemoFromInvoice(**vars(self._from_invoice(data))))

    @rule(data=st.data())
    def credit_charges(self, data: st.DataObject) -> None:
        self.act(data, creation.from_charges, CreateCreditMemoFromCharges(**vars(self._from_charges(data))))

    @rule(data=st.data())
    def create_many(self, data: st.DataObject) -> None:
        memos = tuple(
            NewCreditMemo(from_invoice=self._from_invoice(data))
            if data.draw(st.booleans(), "from an invoice")
            else NewCreditMemo(from_charges=self._from_charges(data))
            for _ in range(data.draw(st.integers(1, 3), "memos"))
        )
        self.act_on_many(data, creation.create_each, CreateCreditMemos(memos=memos))

    def _update(self, data: st.DataObject) -> CreditMemoUpdate:
        memo = self.memo(data, is_draft)
        changes: list[CreditMemoItemUpdate] = []
        for item in self.rows("credit_memo_items", credit_memo_id=memo["id"]):
            what = data.draw(st.sampled_from(["amount", "keep", "keep", "text", "delete"]), "change")
            if what == "delete":
                changes.append(CreditMemoItemUpdate(id=Key(item["id"]), delete=True))
            elif what == "amount":
                amount = Decimal(self.share(data, item["amount"] or SCALE, memo["currency"])) / SCALE
                changes.append(CreditMemoItemUpdate(id=Key(item["id"]), amount=amount))
            elif what == "text":
                changes.append(CreditMemoItemUpdate(id=Key(item["id"]), description="Another"))
        if data.draw(SELDOM, "add"):
            charge = Key(self.charges[memo["account_id"]])
            changes.append(CreditMemoItemUpdate(product_rate_plan_charge_id=charge))
        header: dict[str, Any] = {"comment": "Seen"} if data.draw(OFTEN, "comment") else {}
        if data.draw(SELDOM, "transfer"):
            header["transferred_to_accounting"] = TransferredToAccounting.YES
        if data.draw(SELDOM, "move"):
            header["effective_date"] = data.draw(st.sampled_from([TODAY, IN_A_CLOSED_PERIOD]), "day")
        return CreditMemoUpdate(key=Key(memo["id"]), items=tuple(changes) or None, **header)

    @precondition(there_is(is_draft))
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        self.act(data, editing.update, UpdateCreditMemo(**vars(self._update(data))))

    @precondition(there_is(is_draft))
    @rule(data=st.data())
    def update_many(self, data: st.DataObject) -> None:
        memos = tuple(self._update(data) for _ in range(data.draw(st.integers(1, 2), "memos")))
        self.act_on_many(data, editing.update_each, UpdateCreditMemos(memos=memos))

    @precondition(there_is(is_untaxed))
    @rule(data=st.data())
    def add_a_tax(self, data: st.DataObject) -> None:
        memo = self.memo(data, is_untaxed)
        item = self.pick(data, "credit_memo_items", credit_memo_id=memo["id"])
        tax = NewTaxationItem(
            memo_item_id=Key(item["id"]),
            name="City tax",
            jurisdiction="SF",
            tax_amount=Decimal(self.share(data, item["amount"] // 10 // SCALE * SCALE, memo["currency"])) / SCALE,
            tax_rate=Decimal("0.1"),
            tax_rate_type=TaxRateType.PERCENTAGE,
        )
        command = CreateCreditMemoTaxationItems(key=Key(memo["id"]), taxation_items=(tax,))
        self.act(data, taxation.create_taxation_items, command)

    # --- statuses -----------------------------------------------------------------------------------------------------

    def _change_status(self, data: st.DataObject, command: type[Command], want: Want, **fields: Any) -> None:
        memo = self.memo(data, want)
        make: Callable[..., Command] = command
        self.act(data, _BY_KEY[command], make(key=Key(memo["id"]), **fields))

    @precondition(there_is(is_draft))
    @rule(data=st.data())
    def post(self, data: st.DataObject) -> None:
        self._change_status(data, PostCreditMemo, is_draft)

    @precondition(there_is(is_unused))
    @rule(data=st.data())
    def unpost(self, data: st.DataObject) -> None:
        self._change_status(data, UnpostCreditMemo, is_unused)

    @precondition(there_is(is_draft))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self._change_status(data, CancelCreditMemo, is_draft)

    @precondition(there_is(is_canceled))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self._change_status(data, DeleteCreditMemo, is_canceled)

    @precondition(there_is(is_unused))
    @rule(data=st.data(), command=st.sampled_from([WriteOffCreditMemo, ReverseCreditMemo]))
    def undo(self, data: st.DataObject, command: type[Command]) -> None:
        self._change_status(data, command, is_unused, memo_date=self.day(data))

    @precondition(there_is(has_money))
    @rule(data=st.data(), by_source=SELDOM)
    def apply(self, data: st.DataObject, by_source: bool) -> None:
        memo = self.memo(data, has_money)
        given = ApplicationRule.SOURCE_ITEM if by_source else None
        wanted = self.wanted(data, memo, applied=False)
        self.act(data, settlement.apply, ApplyCreditMemo(key=Key(memo["id"]), application_rule=given, **wanted))

    @precondition(there_is(is_applied))
    @rule(data=st.data(), everything=st.booleans())
    def unapply(self, data: st.DataObject, everything: bool) -> None:
        memo = self.memo(data, is_applied)
        wanted = {} if everything else self.wanted(data, memo, applied=True)
        self.act(data, settlement.unapply, UnapplyCreditMemo(key=Key(memo["id"]), **wanted))

    @precondition(there_is(has_money))
    @rule(data=st.data(), electronic=st.booleans(), unlucky=SELDOM)
    def refund(self, data: st.DataObject, electronic: bool, unlucky: bool) -> None:
        memo = self.memo(data, has_money)
        amount = self.amount(data, memo["unapplied_amount"], memo["currency"])
        if unlucky and memo["currency"] != "JPY":
            amount = Decimal(1) + Decimal("0.13")  # which the gateway refuses
        items = None
        if data.draw(SELDOM, "line by line"):
            line = self.lines(memo["id"])[0]
            item = {source_field(line): Key(line["id"])}
            items = (CreditMemoRefundItem(amount=amount, **item),)
        how: dict[str, Any] = (
            {"type": RefundType.ELECTRONIC, "payment_method_id": Key(self.cards[memo["account_id"]])}
            if electronic
            else {"type": RefundType.EXTERNAL, "method_type": PaymentMethodType.CHECK, "refund_date": self.day(data)}
        )
        command = RefundCreditMemo(key=Key(memo["id"]), total_amount=amount, items=items, **how)
        self.act(data, refunds.refund, command)

    # --- what was promised --------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def keep_what_is_promised(self, data: st.DataObject) -> None:
        """Each action that is said to be possible is, and each other is refused for the reason given."""
        memo = self.pick(data, "credit_memos")
        invoices = self.rows("invoices", account_id=memo["account_id"], status="POSTED")
        owed = [row["id"] for row in invoices if row["balance"] > 0]
        items = self.rows("credit_memo_items", credit_memo_id=memo["id"])
        line = data.draw(st.integers(0, len(items) - 1), "line to be taxed")
        (told,) = self.run(states(self.desk, memo["id"]))
        met = self.run(refusals(self.desk, memo["id"], owed[0] if owed else invoices[0]["id"], line))
        unsure = {
            *LOOKED_INTO_ELSEWHERE,
            MemoAction.GENERATE_PDF,
            MemoAction.CREATE_TAXATION_ITEMS,  # depends on the line
            *([] if owed and memo["unapplied_amount"] else [MemoAction.APPLY]),  # lines that net to 0 can be open
        }
        for action, state in told.items():
            event(f"promised: {action} {state.code or 'possible'}")
            assert action in unsure or state.code is met[action], action
        if not told[MemoAction.CREATE_TAXATION_ITEMS].allowed:
            assert met[MemoAction.CREATE_TAXATION_ITEMS] is not None


def upon(databases: Databases, kind: Kind) -> type[Business]:
    """The machine for one kind of database."""

    class Here(Business):
        def __init__(self) -> None:
            super().__init__(databases, kind)

    return Here


@pytest.mark.parametrize("kind", chosen_kinds())
def test_no_action_makes_money_or_loses_it(databases: Databases, kind: Kind) -> None:
    usual = settings.default
    assert usual is not None
    examples = max(usual.max_examples // (5 if kind == "sqlite" else 10), 1)

    run_state_machine_as_test(upon(databases, kind), settings=settings(max_examples=examples, stateful_step_count=25))


@pytest.mark.soak
@pytest.mark.parametrize("kind", chosen_kinds())
def test_no_action_makes_money_or_loses_it_for_long(databases: Databases, kind: Kind) -> None:
    run_state_machine_as_test(upon(databases, kind), settings=settings(max_examples=300, stateful_step_count=60))
