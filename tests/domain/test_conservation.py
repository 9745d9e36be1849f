"""Whether money ever appears or vanishes: memos posted, applied, refunded and undone in every order there is.

After each step the invariants of domain.md 4.2 are asked of every document, on three paths: lines, parts and ledger.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asking import refused
from cm_graphql.domain import lifecycle, refunds, settlement
from cm_graphql.domain.commands.base import Key
from cm_graphql.domain.commands.lifecycle import ReverseCreditMemo, WriteOffCreditMemo
from cm_graphql.domain.commands.refunds import CreditMemoRefundItem, RefundCreditMemo
from cm_graphql.domain.commands.settlement import (
    ApplyCreditMemo,
    DebitMemoApplication,
    DebitMemoApplicationItem,
    InvoiceApplication,
    InvoiceApplicationItem,
    UnapplyCreditMemo,
)
from cm_graphql.domain.debit_memos import DebitMemo
from cm_graphql.domain.enums import (
    ApplicationRule,
    AvailableToCreditRule,
    GatewayState,
    ItemSourceType,
    LedgerKind,
    MemoStatus,
    PaymentMethodType,
    RefundType,
)
from cm_graphql.domain.errors import ErrorCode, Refusal
from cm_graphql.domain.ledger import FLOOR_KINDS, LedgerEntry
from cm_graphql.domain.money import SCALE, Currency
from cm_graphql.domain.records import CreditMemo, CreditMemoItem, Target
from cm_graphql.domain.refunds import GatewayAnswer, PaymentMethod
from cm_graphql.domain.settlement import Application
from makers import CHF_CASH, JPY, USD, a_book, a_memo, a_stamp, a_target, a_tax, an_invoice, an_item, ids

KUWAIT = Currency("KWD", 3)
CARD = PaymentMethod(id="pm_1", account_id=f"acc_{1:032x}", type=PaymentMethodType.ACH, electronic=True)
DECLINED = GatewayAnswer(approved=False, state=GatewayState.NOT_SUBMITTED)
APPROVED = GatewayAnswer(approved=True, state=GatewayState.SETTLED)

amounts = st.integers(1, 200) | st.integers(-60, -1) | st.just(0)
lines = st.lists(st.tuples(amounts, st.lists(st.integers(0, 30), max_size=2)), min_size=1, max_size=4)


class Billing(RuleBasedStateMachine):
    """Three memos and three targets of one account; reversals and write-offs add debit memos."""

    @initialize(
        currency=st.sampled_from([USD, CHF_CASH, JPY, KUWAIT]),
        memos=st.lists(lines, min_size=3, max_size=3),
        documents=st.lists(lines, min_size=3, max_size=3),
        limit=st.sampled_from([3, 10_000]),
        cross=st.booleans(),
    )
    def begin(self, currency: Currency, memos: Any, documents: Any, limit: int, cross: bool) -> None:
        self.currency = currency
        self.limit, self.cross = limit, cross
        made = ids()
        self.stamp = a_stamp(new_id=made)
        self.ledger: list[LedgerEntry] = []
        self.targets: dict[str, Target] = {}
        for number, wanted in enumerate(documents, 1):
            target = self._target(number, wanted)
            self.targets[target.id] = target
        self.memos = {memo.id: memo for memo in (self._memo(number, wanted) for number, wanted in enumerate(memos, 1))}
        self.drafted = len(self.memos)
        self.worth = {memo.id: memo.amount for memo in self.memos.values()}

    def _target(self, number: int, wanted: Any) -> Target:
        raised = _not_below_zero(wanted)
        shown = [[self._decimal(net), *(self._decimal(_signed(tax, net)) for tax in taxes)] for net, taxes in raised]
        target = a_target(*shown, number=number, debit_memo=number == 3, currency=self.currency.code)
        half_paid = target.lines[0].worth // 2 // self.currency.cent * self.currency.cent
        if half_paid > 0 and target.balance >= half_paid:
            target = replace(target, lines=(target.lines[0]._replace(paid=half_paid), *target.lines[1:]))
        return target

    def _memo(self, number: int, wanted: Any) -> CreditMemo:
        invoice = self.targets[f"inv_{1:032x}"]
        items: list[CreditMemoItem] = []
        for position, (net, taxes) in enumerate(_not_below_zero(wanted)):
            source = [line for line in invoice.lines if not line.is_tax][position % 2 : position % 2 + 1]
            fields = (
                {"source_item_type": ItemSourceType.INVOICE_DETAIL, "source_item_id": source[0].id} if source else {}
            )
            made = (a_tax(self._decimal(_signed(tax, net))) for tax in taxes)
            items.append(an_item(self._decimal(net), *made, **fields))
        return a_memo(
            *items,
            number=number,
            currency=self.currency,
            status=MemoStatus.DRAFT,
            referred_invoice_id=invoice.id if number % 2 else None,
            auto_apply_upon_posting=number % 2 == 1,
        )

    # --- in short -----------------------------------------------------------------------------------------------------

    def _decimal(self, cents: int) -> Decimal:
        return Decimal(cents * self.currency.cent) / SCALE

    def _book(self, rule: ApplicationRule = ApplicationRule.PRORATION) -> Any:
        return a_book(
            application_rule=rule,
            proration_limit=self.limit,
            allow_cross_pairs=self.cross,
            available_to_credit_rule=AvailableToCreditRule.NONE,
        )

    def _pick(self, data: st.DataObject, want: Callable[[CreditMemo], bool]) -> CreditMemo:
        return data.draw(st.sampled_from([memo for memo in self.memos.values() if want(memo)]), "memo")

    def _any(self, want: Callable[[CreditMemo], bool]) -> bool:
        return any(want(memo) for memo in self.memos.values())

    def _part_of(self, data: st.DataObject, most: int) -> int:
        """A positive number of cents up to an amount, the whole of it quite often."""
        cents = most // self.currency.cent
        return data.draw(st.just(cents) | st.integers(1, cents), "cents") * self.currency.cent

    def _keep(self, application: Application) -> None:
        self.memos[application.memo.id] = application.memo
        self.targets.update((target.id, target) for target in application.targets)
        self.ledger.extend(application.entries)

    # --- what is done -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._any(_is_draft))
    @rule(data=st.data())
    def post(self, data: st.DataObject) -> None:
        memo = self._pick(data, _is_draft)
        invoice = an_invoice("1.00") if memo.referred_invoice_id else None
        target = self.targets[memo.referred_invoice_id] if memo.referred_invoice_id else None

        posting = lifecycle.post(memo, invoice, target, None, self._book(), self.stamp)

        self.memos[memo.id] = posting.memo
        if posting.application:
            self._keep(posting.application)
            assert target is not None
            assert posting.application.entries[0].amount == min(memo.amount, target.balance)

    @precondition(lambda self: self._any(_is_posted))
    @rule(data=st.data(), how=st.sampled_from([ApplicationRule.FIFO, ApplicationRule.PRORATION]))
    def apply_by_rule(self, data: st.DataObject, how: ApplicationRule) -> None:
        memo = self._pick(data, _is_posted)
        open_targets = [target for target in self.targets.values() if target.balance > 0]
        if not open_targets or memo.unapplied == 0:
            return
        chosen = data.draw(st.lists(st.sampled_from(open_targets), min_size=1, max_size=2, unique_by=lambda t: t.id))
        chosen.sort(key=lambda target: not target.is_invoice)
        shares: list[int] = []
        for target in chosen:
            if (room := min(memo.unapplied - sum(shares), target.balance)) > 0:
                shares.append(self._part_of(data, room))
        chosen = chosen[: len(shares)]
        command = _command(ApplyCreditMemo, memo, zip(chosen, shares, strict=True))

        after = settlement.apply(memo, chosen, command, self._book(how), self.stamp)

        assert [entry.amount for entry in after.entries] == shares, "every amount within both sides can be placed"
        self._keep(after)

    @precondition(lambda self: self._any(_is_posted))
    @rule(data=st.data())
    def apply_to_source(self, data: st.DataObject) -> None:
        memo, invoice = self._pick(data, _is_posted), self.targets[f"inv_{1:032x}"]
        room = min(memo.unapplied, invoice.balance)
        if room == 0:
            return
        command = _command(ApplyCreditMemo, memo, [(invoice, self._part_of(data, room))])
        command = replace(command, application_rule=ApplicationRule.SOURCE_ITEM)
        with _refusing(ErrorCode.SOURCE_ITEM_MISMATCH, ErrorCode.AMOUNT_EXCEEDS_BALANCE):
            self._keep(settlement.apply(memo, [invoice], command, self._book(), self.stamp))

    @precondition(lambda self: self._any(_is_posted))
    @rule(data=st.data())
    def apply_line_by_line(self, data: st.DataObject) -> None:
        memo = self._pick(data, _is_posted)
        target = data.draw(st.sampled_from(sorted(self.targets.values(), key=lambda target: target.id)))
        given = [line.unapplied for line in memo.lines]
        owed = [line.balance for line in target.lines]
        pairs: list[tuple[int, int, int]] = []
        for source, line in enumerate(memo.lines):
            for place, onto in enumerate(target.lines):
                alike = (source_is_tax(memo, source) == onto.is_tax) or self.cross
                if alike and given[source] * owed[place] > 0 and data.draw(st.integers(0, 2)):
                    amount = self._part_of(data, min(abs(given[source]), abs(owed[place])))
                    amount *= -1 if line.worth < 0 else 1
                    given[source] -= amount
                    owed[place] -= amount
                    pairs.append((source, place, amount))
        # Header amounts hold too: leave out what pushes the total below 0 or past them.
        while (total := sum(pair[2] for pair in pairs)) < 0 or total > min(memo.unapplied, target.balance):
            pairs.remove(next(pair for pair in pairs if (pair[2] < 0) == (total < 0)))
        if not pairs:
            return
        command = _command(ApplyCreditMemo, memo, [(target, total)], pairs)

        after = settlement.apply(memo, [target], command, self._book(), self.stamp)

        assert after.rule is ApplicationRule.EXPLICIT
        self._keep(after)

    @precondition(lambda self: self._any(_is_applied))
    @rule(data=st.data(), everything=st.booleans())
    def unapply(self, data: st.DataObject, everything: bool) -> None:
        memo = self._pick(data, _is_applied)
        parts = [part for part in memo.parts if part.target_id is not None]
        part = data.draw(st.sampled_from(parts))
        if everything or part.amount == 0:
            targets = [self.targets[each.target_id or ""] for each in parts]
            after = self._unapply(memo, targets, _command(UnapplyCreditMemo, memo, []))
            assert not [each for each in after.memo.parts if each.target_id is not None]
        else:
            target = self.targets[part.target_id or ""]
            amount = self._part_of(data, part.amount)
            after = self._unapply(memo, [target], _command(UnapplyCreditMemo, memo, [(target, amount)]))
            assert after.entries[0].amount == amount
        self._keep(after)

    @precondition(lambda self: self._any(_is_applied))
    @rule(data=st.data())
    def unapply_line_by_line(self, data: st.DataObject) -> None:
        memo = self._pick(data, _is_applied)
        part = data.draw(st.sampled_from([part for part in memo.parts if part.target_id is not None]))
        target = self.targets[part.target_id or ""]
        sources = [line.id for line in memo.lines]
        places: list[str | None] = [line.id for line in target.lines]
        pairs: list[tuple[int, int, int]] = []
        for item_part in part.item_parts:
            source, place = sources.index(item_part.source_id), places.index(item_part.target_id)
            alike = (source_is_tax(memo, source) == target.lines[place].is_tax) or self.cross
            if alike and data.draw(st.booleans()):
                amount = self._part_of(data, abs(item_part.amount)) * (1 if item_part.amount > 0 else -1)
                pairs.append((source, place, amount))
        total = sum(amount for _, _, amount in pairs)
        same_sign = all(memo.lines[s].worth * target.lines[p].worth > 0 for s, p, _ in pairs)
        if not pairs or not 0 <= total <= part.amount or not same_sign:
            return
        self._keep(self._unapply(memo, [target], _command(UnapplyCreditMemo, memo, [(target, total)], pairs)))

    def _unapply(self, memo: CreditMemo, targets: Sequence[Target], command: UnapplyCreditMemo) -> Application:
        moved = [e.effective_date for e in self.ledger if e.memo_id == memo.id and e.kind in FLOOR_KINDS]
        return settlement.unapply(memo, targets, command, max(moved), self._book(), self.stamp)

    @precondition(lambda self: self._any(lambda memo: memo.reversed))
    @rule(data=st.data())
    def a_reversal_is_for_good(self, data: st.DataObject) -> None:
        memo = self._pick(data, lambda memo: memo.reversed)
        with refused(ErrorCode.ALREADY_REVERSED, saying="was reversed"):
            self._unapply(memo, [], _command(UnapplyCreditMemo, memo, []))

    @precondition(lambda self: self._any(_can_be_refunded))
    @rule(data=st.data(), named=st.booleans(), answer=st.sampled_from([None, APPROVED, DECLINED]))
    def refund(self, data: st.DataObject, named: bool, answer: GatewayAnswer | None) -> None:
        memo = self._pick(data, _can_be_refunded)
        amount = self._part_of(data, memo.unapplied)
        items: tuple[CreditMemoRefundItem, ...] | None = None
        if named:
            line = data.draw(st.sampled_from([line for line in memo.lines if line.unapplied > 0]))
            amount = min(amount, line.unapplied)
            is_tax = line.id.startswith("cmt_")
            items = (
                CreditMemoRefundItem(
                    amount=Decimal(amount) / SCALE,
                    credit_memo_item_id=None if is_tax else Key(line.id),
                    credit_tax_item_id=Key(line.id) if is_tax else None,
                ),
            )
        command = RefundCreditMemo(
            key=Key(memo.id),
            type=RefundType.ELECTRONIC if answer else RefundType.EXTERNAL,
            total_amount=Decimal(amount) / SCALE,
            method_type=None if answer else PaymentMethodType.CASH,
            payment_method_id=Key(CARD.id) if answer else None,
            items=items,
        )
        method = CARD if answer else None
        plan = refunds.prepare(memo, command, method, None, self._book(), self.stamp)

        after = refunds.refund(plan, answer, "R-1", self.stamp)

        assert after.memo.refunded - memo.refunded == (0 if answer is DECLINED else amount)
        self.memos[memo.id] = after.memo
        self.ledger.extend(after.entries)

    @precondition(lambda self: self._any(_is_posted))
    @rule(data=st.data())
    def unpost(self, data: st.DataObject) -> None:
        memo = self._pick(data, _is_posted)
        if not memo.is_used:
            self.memos[memo.id] = lifecycle.unpost(memo, self._book())
            return
        with refused(ErrorCode.ALREADY_APPLIED_OR_REFUNDED, saying="applied or refunded"):
            lifecycle.unpost(memo, self._book())

    @precondition(lambda self: self._any(_is_draft))
    @rule(data=st.data(), often=st.integers(0, 4))
    def cancel(self, data: st.DataObject, often: int) -> None:
        if often == 0:
            memo = self._pick(data, _is_draft)
            self.memos[memo.id] = lifecycle.cancel(memo, self.stamp)

    @rule(wanted=lines)
    def draft(self, wanted: Any) -> None:
        canceled = [memo for memo in self.memos.values() if memo.status is MemoStatus.CANCELED]
        for memo in canceled:
            lifecycle.check_delete(memo)
            del self.memos[memo.id], self.worth[memo.id]
        if len(self.memos) < 5:
            self.drafted += 1
            memo = self._memo(self.drafted, wanted)
            self.memos[memo.id] = memo
            self.worth[memo.id] = memo.amount

    @precondition(lambda self: self._any(_can_be_mirrored))
    @rule(data=st.data(), reverse=st.booleans(), often=st.integers(0, 2))
    def mirror(self, data: st.DataObject, reverse: bool, often: int) -> None:
        if often > 0:
            return
        memo = self._pick(data, _can_be_mirrored)
        number = f"DM{len(self.targets):08d}"
        if reverse:
            done = lifecycle.reverse(memo, ReverseCreditMemo(key=Key(memo.id)), 30, number, self._book(), self.stamp)
        else:
            wrote = WriteOffCreditMemo(key=Key(memo.id))
            done = lifecycle.write_off(memo, wrote, 30, number, self._book(), self.stamp)
        self._check_mirror(memo, done.debit_memo)
        self.memos[memo.id] = done.memo
        self.targets[done.debit_memo.id] = done.debit_memo.target
        self.ledger.extend(done.entries)

    def _check_mirror(self, memo: CreditMemo, debit_memo: DebitMemo) -> None:
        assert [line.worth for line in memo.lines] == [line.worth for line in debit_memo.target.lines]
        assert (debit_memo.amount, debit_memo.tax_amount) == (memo.amount, memo.tax_amount)

    # --- what must be true ----------------------------------------------------------------------------------------

    @invariant()
    def every_memo_adds_up(self) -> None:
        for memo in self.memos.values():
            assert memo.amount == self.worth[memo.id] == memo.applied + memo.unapplied + memo.refunded
            assert min(memo.applied, memo.unapplied, memo.refunded) >= 0
            for line in memo.lines:
                used = (line.applied, line.unapplied, line.refunded)
                assert sum(used) == line.worth
                assert all(min(0, line.worth) <= amount <= max(0, line.worth) for amount in used)

    @invariant()
    def parts_say_what_lines_say(self) -> None:
        for memo in self.memos.values():
            if memo.status is not MemoStatus.POSTED:
                assert not memo.parts
                assert not memo.is_used
                continue
            assert sum(part.amount for part in memo.parts) == memo.amount - memo.refunded
            unapplied = memo.unapplied_part
            assert (unapplied is not None) == any(line.unapplied for line in memo.lines)
            assert (unapplied.amount if unapplied else 0) == memo.unapplied
            for part in memo.parts:
                assert part.amount >= 0
                pairs = [(item_part.source_id, item_part.target_id) for item_part in part.item_parts]
                assert len(pairs) == len(set(pairs)), "item parts of the same lines are merged"
                positions = [item_part.position for item_part in part.item_parts]
                assert positions == sorted(set(positions))

    @invariant()
    def targets_were_credited_what_memos_gave(self) -> None:
        given: Counter[str | None] = Counter()
        for memo in self.memos.values():
            for part in memo.parts:
                for item_part in part.item_parts:
                    given[item_part.target_id] += item_part.amount
        for target in self.targets.values():
            worth = sum(line.worth for line in target.lines)
            assert 0 <= target.balance <= max(worth, 0)
            for line in target.lines:
                assert line.credited == given.pop(line.id, 0)
                assert line.balance == line.worth - line.paid - line.credited
                assert min(0, line.worth) <= line.balance <= max(0, line.worth)
        given.pop(None, None)
        assert not +given, "nothing lies on lines that nobody has"
        assert not -given

    @invariant()
    def the_ledger_tells_how_money_came_where_it_lies(self) -> None:
        told: Counter[tuple[str, str, str | None]] = Counter()
        refunded: Counter[str] = Counter()
        for entry in self.ledger:
            way = -1 if entry.kind is LedgerKind.UNAPPLY else 1
            for line in entry.lines:
                if entry.kind is LedgerKind.REFUND:
                    refunded[line.source_id] += line.amount
                else:
                    told[entry.memo_id, line.source_id, line.target_id] += way * line.amount
        lying: Counter[tuple[str, str, str | None]] = Counter()
        for memo in self.memos.values():
            for part in memo.parts:
                for item_part in part.item_parts if part.target_id else ():
                    lying[memo.id, item_part.source_id, item_part.target_id] += item_part.amount
            for memo_line in memo.lines:
                assert memo_line.refunded == refunded[memo_line.id]
        assert {key: amount for key, amount in told.items() if amount} == dict(lying)

    @invariant()
    def money_neither_appears_nor_vanishes(self) -> None:
        held = sum(memo.unapplied + memo.refunded for memo in self.memos.values())
        credited = sum(line.credited for target in self.targets.values() for line in target.lines)
        assert sum(self.worth.values()) == held + credited


@contextmanager
def _refusing(*codes: ErrorCode) -> Iterator[None]:
    """Let an action be refused for one of these reasons, and no other."""
    try:
        yield
    except Refusal as refusal:
        if refusal.faults[0].code not in codes:
            raise


def _not_below_zero(wanted: Any) -> list[tuple[int, list[int]]]:
    """Raise the first line until the whole is at least 0, as every document's is."""
    (net, taxes), *rest = wanted
    total = sum(n + sum(_signed(tax, n) for tax in t) for n, t in rest)
    short = -min(0, total)
    return [(max(net, 0) + short, taxes), *rest]


def _signed(tax: int, net: int) -> int:
    return -tax if net < 0 else tax


def source_is_tax(memo: CreditMemo, index: int) -> bool:
    return memo.lines[index].id.startswith("cmt_")


def _is_draft(memo: CreditMemo) -> bool:
    return memo.status is MemoStatus.DRAFT


def _is_posted(memo: CreditMemo) -> bool:
    return memo.status is MemoStatus.POSTED


def _is_applied(memo: CreditMemo) -> bool:
    return not memo.reversed and any(part.target_id is not None for part in memo.parts)


def _can_be_refunded(memo: CreditMemo) -> bool:
    return _is_posted(memo) and memo.unapplied > 0


def _can_be_mirrored(memo: CreditMemo) -> bool:
    return _is_posted(memo) and not memo.is_used and memo.amount > 0


def _command(
    kind: type[Any], memo: CreditMemo, wanted: Any, pairs: Sequence[tuple[int, int, int]] | None = None
) -> Any:
    """A request in ten-thousandths; with pairs of lines, all of them under the one target."""
    invoices: list[InvoiceApplication] = []
    debit_memos: list[DebitMemoApplication] = []
    for target, amount in wanted:
        fields: dict[str, Any] = {"amount": Decimal(amount) / SCALE}
        if pairs is not None:
            fields["items"] = tuple(_item(memo, target, *pair) for pair in pairs)
        if target.is_invoice:
            invoices.append(InvoiceApplication(invoice_key=Key(target.id), **fields))
        else:
            debit_memos.append(DebitMemoApplication(debit_memo_key=Key(target.id), **fields))
    return kind(key=Key(memo.id), invoices=tuple(invoices), debit_memos=tuple(debit_memos))


def _item(memo: CreditMemo, target: Target, source: int, place: int, amount: int) -> Any:
    onto = target.lines[place]
    fields: dict[str, Any] = {
        "amount": Decimal(amount) / SCALE,
        "credit_tax_item_id" if source_is_tax(memo, source) else "credit_memo_item_id": Key(memo.lines[source].id),
    }
    if onto.is_tax:
        fields["tax_item_id"] = Key(onto.id)
    else:
        fields["invoice_item_id" if target.is_invoice else "debit_memo_item_id"] = Key(onto.id)
    return (InvoiceApplicationItem if target.is_invoice else DebitMemoApplicationItem)(**fields)


TestConservation = Billing.TestCase
