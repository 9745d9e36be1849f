"""What else happens to a tenant while credit memos come and go: payments, past memos, settings, currencies."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.intake import (
    SyncCreditMemos,
    SyncDebitMemos,
    SyncedCreditMemo,
    SyncedCreditMemoItem,
    SyncedCreditMemoTaxItem,
    SyncedDebitMemo,
    SyncedDebitMemoItem,
    SyncedInvoice,
    SyncedInvoiceItem,
    SyncedTaxItem,
    SyncInvoices,
)
from cm_graphql.domain.commands.reference import SyncCurrencies, SyncedCurrency, UpdateSettings
from cm_graphql.domain.enums import (
    ApplicationRule,
    AvailableToCreditRule,
    ItemSourceType,
    MemoSource,
    MemoStatus,
    ProcessingType,
    RoundingMode,
    SourceType,
    TaxEngineKind,
)
from cm_graphql.domain.money import SCALE
from cm_graphql.operations import intake, reference
from cm_graphql.store.session import DECIMALS
from operating import BILLED
from tenant import CURRENCIES, OFTEN, SELDOM, Row, Tenant

A_FEW = 6
"""So many past memos are told of, lest little else happens."""

_NAMES = {"invoice": "charge_name", "debit_memo": "sku_name"}
_AMOUNTS = {"invoice": "charge_amount", "debit_memo": "amount"}
_OWNERS = {"invoice": "invoice_item_id", "debit_memo": "memo_item_id"}


class Surroundings(Tenant):
    """What other systems and administrators do."""

    # --- documents that are told of again -----------------------------------------------------------------------------

    @rule(data=st.data())
    def receive_a_payment(self, data: st.DataObject) -> None:
        """Tell of a document again: paid more or less, in all or line by line, and now and then otherwise changed."""
        kind = data.draw(st.sampled_from(["invoice", "invoice", "debit_memo"]), "kind")
        document = self.pick(data, f"{kind}s")
        by_line = data.draw(SELDOM, "line by line")
        items = self._told_again(data, kind, document, by_line=by_line)
        if data.draw(SELDOM, "change"):
            amount = _AMOUNTS[kind]
            items = (replace(items[0], **{amount: getattr(items[0], amount) + 1}), *items[1:])
        fields: dict[str, Any] = {
            "id": Key(document["id"]),
            "account_key": Key(document["account_id"]),
            "currency": document["currency"],
            "status": MemoStatus(document["status"]),
            "payments_applied": None
            if by_line
            else self.amount(data, document["balance"] + document["payment_amount"], document["currency"]),
        }
        if kind == "invoice":
            invoice = SyncedInvoice(
                invoice_number=document["invoice_number"],
                invoice_date=document["invoice_date"],
                items=items,
                **fields,
            )
            self.act_on_many(data, intake.sync_invoices, SyncInvoices(invoices=(invoice,)))
        else:
            memo = SyncedDebitMemo(
                number=document["number"],
                debit_memo_date=document["debit_memo_date"],
                reason_code=document["reason_code"],
                items=items,
                **fields,
            )
            self.act_on_many(data, intake.sync_debit_memos, SyncDebitMemos(debit_memos=(memo,)))

    def _told_again(self, data: st.DataObject, kind: str, document: Row, *, by_line: bool) -> tuple[Any, ...]:
        """The lines of a document as they are, with what is paid on each where that is told line by line."""
        currency = document["currency"]
        rows = self.rows(f"{kind}_items", **{f"{kind}_id": document["id"]})
        ids = [row["id"] for row in rows]

        def paid(row: Row) -> Decimal | None:
            owed = row["balance"] + row["payment_amount"]
            return Decimal(self.share(data, owed, currency)) / SCALE if by_line else None

        def item(row: Row) -> Any:
            taxes = tuple(
                SyncedTaxItem(
                    id=Key(tax["id"]),
                    name=tax["name"],
                    tax_amount=Decimal(tax["tax_amount"]) / SCALE,
                    tax_rate=tax["tax_rate"],
                    jurisdiction=tax["jurisdiction"],
                    engine=TaxEngineKind(tax["engine"]),
                    payments_applied=paid(tax),
                )
                for tax in self.rows(f"{kind}_taxation_items", **{_OWNERS[kind]: row["id"]})
            )
            discounted = row["applied_to_item_id"]
            make = SyncedInvoiceItem if kind == "invoice" else SyncedDebitMemoItem
            return make(
                id=Key(row["id"]),
                processing_type=ProcessingType(row["processing_type"]),
                applied_to_item_index=None if discounted is None else ids.index(discounted),
                payments_applied=paid(row),
                tax_items=taxes,
                **{_NAMES[kind]: row[_NAMES[kind]], _AMOUNTS[kind]: Decimal(row[_AMOUNTS[kind]]) / SCALE},
            )

        return tuple(item(row) for row in rows)

    # --- memos of the past --------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.rows("credit_memo_events", action="IMPORTED")) < A_FEW)
    @rule(data=st.data())
    def bring_in_a_past_memo(self, data: st.DataObject) -> None:
        """Tell of a memo that another system made, in any status, or tell of one again."""
        known = self.rows("credit_memos", source="BILL_RUN")
        is_known = bool(known) and data.draw(OFTEN, "again")
        again = known[-1] if is_known else None
        invoice = self.pick(data, "invoices") if again is None or again["referred_invoice_id"] else None
        if again is not None and invoice is not None:
            (invoice,) = self.rows("invoices", id=again["referred_invoice_id"])
        account, charge = data.draw(st.sampled_from(list(self.charges.items())), "account")
        owner = invoice["account_id"] if invoice else again["account_id"] if again else account
        currency = invoice["currency"] if invoice else self.rows("accounts", id=owner)[0]["currency"]
        lines = self._past_lines(data, invoice, charge, currency)
        memo = SyncedCreditMemo(
            number=again["number"] if again else f"PAST-{len(self.books['credit_memo_events'])}",
            account_key=Key(owner),
            currency=currency,
            status=data.draw(st.sampled_from([MemoStatus.POSTED, MemoStatus.POSTED, *MemoStatus]), "status"),
            credit_memo_date=BILLED,
            source=MemoSource.BILL_RUN,
            source_type=SourceType.SUBSCRIPTION,
            referred_invoice_key=Key(invoice["id"]) if invoice else None,
            auto_apply_upon_posting=invoice is not None and data.draw(st.booleans(), "auto apply"),
            items=lines,
        )
        self.act_on_many(data, intake.sync_credit_memos, SyncCreditMemos(credit_memos=(memo,)))

    def _past_lines(
        self, data: st.DataObject, invoice: Row | None, charge: str, currency: str
    ) -> tuple[SyncedCreditMemoItem, ...]:
        source = self.rows("invoice_items", invoice_id=invoice["id"])[0]["id"] if invoice else charge
        kind = ItemSourceType.INVOICE_DETAIL if invoice else ItemSourceType.PRODUCT_RATE_PLAN_CHARGE
        taxes = (
            (SyncedCreditMemoTaxItem(name="Past", tax_amount=Decimal(1), tax_rate=Decimal("0.1")),)
            if data.draw(st.booleans(), "tax")
            else None
        )
        first = SyncedCreditMemoItem(
            sku_name="Seats",
            amount=self.amount(data, 20 * SCALE, currency),
            source_item_type=kind,
            source_item_id=Key(source),
            tax_items=taxes,
        )
        if not data.draw(SELDOM, "discount"):
            return (first,)
        discount = replace(
            first, amount=Decimal(-1), processing_type=ProcessingType.DISCOUNT, applied_to_item_index=0, tax_items=None
        )
        return (first, discount)

    # --- the tenant's choices -----------------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        rule=st.sampled_from([ApplicationRule.PRORATION, ApplicationRule.FIFO]),
        available=st.sampled_from(list(AvailableToCreditRule)),
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
        engine=st.sampled_from(["none", "table"]),
        limit=st.sampled_from([0, 4, 10_000]),
    )
    def choose_rules(
        self,
        data: st.DataObject,
        rule: ApplicationRule,
        available: AvailableToCreditRule,
        flags: tuple[bool, bool, bool, bool],
        engine: str,
        limit: int,
    ) -> None:
        later, unpost, cross, counted = flags
        command = UpdateSettings(
            application_rule=rule,
            available_to_credit_rule=available,
            number_on_posting=later,
            unpost_rule=unpost,
            allow_cross_pairs=cross,
            count_billing_engine_credits=counted,
            tax_engine=engine,
            proration_limit=limit,
        )
        self.act(data, reference.update_settings, command)

    @rule(
        data=st.data(),
        code=st.sampled_from(CURRENCIES),
        mode=st.sampled_from(list(RoundingMode)),
        step=st.sampled_from([None, 3, 5, 50]),
    )
    def round_otherwise(self, data: st.DataObject, code: str, mode: RoundingMode, step: int | None) -> None:
        increment = None if step is None else Decimal(step).scaleb(-DECIMALS[code])
        currency = SyncedCurrency(code=code, rounding_mode=mode, rounding_increment=increment)
        self.act_on_many(data, reference.sync_currencies, SyncCurrencies(currencies=(currency,)))
