"""Made-up credit memos: what they are made from, what happens to their money, and the rows that tell of it."""

# ruff: noqa: RUF005  rows are sums of tuples, the quickest way to make so many of them

from collections.abc import Sequence
from typing import Final

from cm_graphql.domain.distribution import Move, Purse, fifo, first_out
from cm_graphql.domain.enums import (
    EventAction,
    GatewayState,
    ItemSourceType,
    LedgerKind,
    MemoSource,
    MemoStatus,
    PaymentMethodType,
    RefundStatus,
    RefundType,
    SourceType,
    TaxMode,
    TaxStatus,
    TransferredToAccounting,
)
from cm_graphql.seeding.catalog import Account, Product
from cm_graphql.seeding.documents import CHARGE, DISCOUNT, ONE, UNIT_PRICE, Lines, Target
from cm_graphql.seeding.rows import DAY, NOWHERE, SUFFIX, Row, Rows, Spelling

POSTED: Final = MemoStatus.POSTED.value
CANCELED: Final = MemoStatus.CANCELED.value

_EXCLUSIVE: Final = TaxMode.TAX_EXCLUSIVE.value
_INCLUSIVE: Final = TaxMode.TAX_INCLUSIVE.value
_COMMENTS: Final = (
    *(None, None, None, "Goodwill", "Agreed on the phone", "Seats were returned early", "Service was down for a day"),
    *("Prix erroné sur la facture", "Doppelt berechnet", "見積もりと異なる金額", "Price list of last year was used"),
)
_REASONS: Final = (
    *("Correcting invoice error", "Correcting invoice error", "Ad hoc Credit", "Charge Dispute"),
    *("Service Unavailable", "Unsatisfactory Service", None),
)
_PEOPLE: Final = ("usr_amira", "usr_bruno", "usr_chen", "usr_dora")
_TRANSFERS: Final = tuple(
    member.value
    for member, weight in (
        (TransferredToAccounting.NO, 5),
        (TransferredToAccounting.YES, 12),
        (TransferredToAccounting.PROCESSING, 1),
        (TransferredToAccounting.ERROR, 1),
        (TransferredToAccounting.IGNORE, 1),
    )
    for _ in range(weight)
)


class Memo:
    """A credit memo while things happen to it."""

    __slots__ = (
        *("account", "cancelled", "day", "events", "id", "invoice", "item_sources", "kind", "ledger", "lines"),
        *("moved", "number", "placed", "positions", "posted", "purse", "refunded", "reversed", "second", "sources"),
        *("stem", "tax_sources", "version", "who"),
    )

    def __init__(
        self,
        stem: str,
        number: str,
        account: Account,
        lines: Lines,
        kind: MemoSource,
        item_sources: Sequence[str],
        second: int,
    ) -> None:
        self.id = f"cm_{stem}0000"
        self.stem = stem
        self.number = number
        self.account = account
        self.lines = lines
        self.kind = kind
        self.second = second
        self.day = second // DAY
        self.who = "usr_billing" if kind is MemoSource.BILL_RUN else _PEOPLE[second % len(_PEOPLE)]
        self.item_sources = item_sources
        """Of each item what it was made from."""
        self.tax_sources: Sequence[str] = ()
        """Of each line the one of the invoice that it was made from."""
        self.invoice: Target | None = None
        self.purse = Purse(lines.worth)
        self.refunded = [0] * len(lines.worth)
        self.positions: list[int | None] = list(range(1, len(lines.worth) + 1))
        """Of each line the place of its money in the unapplied part."""
        self.placed: list[tuple[int, Target, dict[Move, int], int]] = []
        """The number of each target's part, the target, the place of what lies on it, and when it came there."""
        self.posted: int | None = None
        self.cancelled: int | None = None
        self.moved = second
        self.reversed = False
        self.version = self.events = self.ledger = 0
        self.sources = _source_columns(stem, lines)

    @property
    def amount(self) -> int:
        """What it is worth."""
        return sum(self.lines.worth)

    @property
    def unapplied(self) -> int:
        """What of it can be used."""
        return sum(self.purse.amounts)

    @property
    def last_position(self) -> int:
        """The last place given to any of its money: what comes later is released later (domain.md 7.32)."""
        places = [place for place in self.positions if place is not None]
        places.extend(place for _, _, moves, _ in self.placed for place in moves.values())
        return max(places)


def _source_columns(stem: str, lines: Lines) -> list[Row]:
    """Of each line how the columns of source lines name it."""
    columns: list[Row] = []
    taxes = 0
    for number in range(1, len(lines.items) + 1):
        columns.append((f"cmi_{stem}{SUFFIX[number]}", None))
        for _ in lines.rates:
            taxes += 1
            columns.append((None, f"cmt_{stem}{SUFFIX[taxes]}"))
    return columns


class Lives:
    """Lets things happen to memos, and writes what there is to tell of each happening."""

    def __init__(self, rows: Rows, spelling: Spelling) -> None:
        self._rows = rows.of
        self._spelling = spelling

    def create(self, memo: Memo) -> None:
        """Begin its history."""
        self._event(memo, EventAction.CREATED, memo.second, memo.day, None)

    def post(self, memo: Memo, second: int) -> None:
        """Bring it into force."""
        memo.posted = memo.moved = second
        self._event(memo, EventAction.POSTED, second, None, _amounts(memo))

    def cancel(self, memo: Memo, second: int) -> None:
        """Give it up."""
        memo.cancelled = memo.moved = second
        self._event(memo, EventAction.CANCELED, second, None, _amounts(memo))

    def apply(self, memo: Memo, wanted: Sequence[tuple[Target, int]], second: int) -> None:
        """Apply it to targets, first to first (domain.md 4.4, FIFO), as far as they have room."""
        before = _amounts(memo)
        movements: list[tuple[Target, list[Move]]] = []
        for target, amount in wanted:
            total = min(amount, memo.unapplied, target.balance)
            moves = fifo(memo.purse, target.open, total) if total > 0 else []
            if moves:
                target.credit(moves)
                movements.append((target, moves))
        self._place(memo, movements, EventAction.APPLIED, LedgerKind.APPLY, before, second)

    def mirror(self, memo: Memo, target: Target, second: int) -> None:
        """Settle with it, line by line, the debit memo that undoes it (domain.md 4.7)."""
        before = _amounts(memo)
        moves = [Move(index, index, amount) for index, amount in enumerate(memo.lines.worth) if amount]
        target.credit(moves)
        memo.purse.take(moves)
        kind, action = LedgerKind.WRITE_OFF, EventAction.WRITTEN_OFF
        if memo.reversed:
            kind, action = LedgerKind.REVERSE, EventAction.REVERSED
        self._place(memo, [(target, moves)], action, kind, before, second)

    def _place(
        self,
        memo: Memo,
        movements: Sequence[tuple[Target, list[Move]]],
        action: EventAction,
        kind: LedgerKind,
        before: str,
        second: int,
    ) -> None:
        if not movements:
            return
        memo.moved = second
        position = memo.last_position
        for target, moves in movements:
            places = {move: position + number for number, move in enumerate(moves, 1)}
            position += len(moves)
            memo.placed.append((len(memo.placed) + 2, target, places, second))
        # A line used up leaves the unapplied part; what should come back later is the newest there (domain.md 7.32).
        memo.positions = [
            place if amount else None for place, amount in zip(memo.positions, memo.purse.amounts, strict=True)
        ]
        self._ledger(memo, kind, movements, second)
        self._event(memo, action, second, second // DAY, before, _targets(movements))

    def unapply(self, memo: Memo, thousandths: int, second: int) -> None:
        """Take some of it off its first target again, first applied first released."""
        before = _amounts(memo)
        number, target, places, since = memo.placed[0]
        moves = list(places)
        total = sum(move.amount for move in moves)
        total = max(total * thousandths // 1000 // memo.lines.unit * memo.lines.unit, min(total, memo.lines.unit))
        kept, released = dict(places), []
        position = memo.last_position
        for index, amount in first_out([move.amount for move in moves], total):
            move = moves[index]
            place = kept.pop(move)
            if amount < move.amount:
                kept[move._replace(amount=move.amount - amount)] = place
            released.append(move._replace(amount=amount))
            target.release(move.target, amount)
            memo.purse.amounts[move.source] += amount
            if memo.positions[move.source] is None:
                position += 1
                memo.positions[move.source] = position
        memo.placed[0] = (number, target, kept, since)
        memo.moved = second
        self._ledger(memo, LedgerKind.UNAPPLY, [(target, released)], second)
        self._event(memo, EventAction.UNAPPLIED, second, second // DAY, before, _targets([(target, released)]))

    def refund(self, memo: Memo, amount: int, number: str, electronic: bool, failed: bool, second: int) -> None:
        """Pay some of it back; a failed attempt leaves no more than its record (domain.md 7.17)."""
        before = _amounts(memo)
        taken = [] if failed else first_out(memo.purse.amounts, amount)
        refund_id, day, at = f"ref_{memo.stem}0000", second // DAY, self._spelling.moment(second)
        audit = (memo.who, at, memo.who, at)
        currency = memo.account.region.currency
        self._rows["refunds"].append(
            (refund_id, number, memo.account.id, memo.id, currency, amount)
            + (_electronic if electronic else _external)
            + ((RefundStatus.ERROR if failed else RefundStatus.PROCESSED).value, self._spelling.days[day])
            + ("Standard Refund", None)
            + _gateway(memo, at, electronic, failed)
            + audit
        )
        if failed:
            return
        part_id = f"rfp_{memo.stem}0000"
        self._rows["refund_parts"].append((part_id, refund_id, currency, amount, memo.id, *audit))
        self._rows["refund_item_parts"].extend(
            (f"rip_{memo.stem}{SUFFIX[place]}", refund_id, part_id, place, currency, share)
            + memo.sources[index]
            + audit
            for place, (index, share) in enumerate(taken)
        )
        for index, share in taken:
            memo.purse.amounts[index] -= share
            memo.refunded[index] += share
        memo.moved = second
        moves = [Move(index, -1, share) for index, share in taken]
        self._ledger(memo, LedgerKind.REFUND, [(None, moves)], second, refund_id)
        self._event(memo, EventAction.REFUNDED, second, day, before)

    def _ledger(
        self,
        memo: Memo,
        kind: LedgerKind,
        movements: Sequence[tuple[Target | None, list[Move]]],
        second: int,
        refund_id: str | None = None,
    ) -> None:
        at, tail = self._spelling.moment(second), (memo.id, memo.account.region.currency)
        lines = self._rows["credit_memo_application_items"].append
        group: str | None = None
        for target, moves in movements:
            entry = f"led_{memo.stem}{SUFFIX[memo.ledger]}"
            group = group or entry
            self._rows["credit_memo_applications"].append(
                (entry, kind.value, group, *_target_columns(target), refund_id, sum([move.amount for move in moves]))
                + (self._spelling.days[second // DAY], memo.who, at, *tail)
            )
            for position, (source, line, amount) in enumerate(moves):
                memo.ledger += 1
                lines(
                    (f"lel_{memo.stem}{SUFFIX[memo.ledger]}", entry, position, amount)
                    + memo.sources[source]
                    + (NOWHERE if target is None else target.places[line])
                    + tail
                )
            memo.ledger += 1

    def _event(
        self, memo: Memo, action: EventAction, second: int, day: int | None, before: str | None, targets: str = "[]"
    ) -> None:
        self._rows["credit_memo_events"].append(
            (f"cme_{memo.stem}{SUFFIX[memo.events]}", memo.id, memo.number, memo.account.id)
            + (memo.account.region.currency, action.value, memo.who, self._spelling.moment(second))
            + (None if day is None else self._spelling.days[day], before, _amounts(memo), targets, None)
        )
        memo.events += 1
        memo.version += 1


def _target_columns(target: Target | None) -> tuple[str | None, str | None]:
    if target is None:
        return None, None
    return (target.id, None) if target.id.startswith("inv_") else (None, target.id)


def _targets(movements: Sequence[tuple[Target, list[Move]]]) -> str:
    told = [
        f'{{"id":"{target.id}","number":"{target.number}","amount":{sum([move.amount for move in moves])}}}'
        for target, moves in movements
    ]
    return f"[{','.join(told)}]"


def _amounts(memo: Memo) -> str:
    """The amounts that the history keeps."""
    worth, unapplied, refunded = memo.lines.worth, sum(memo.purse.amounts), sum(memo.refunded)
    amount = sum(worth)
    return (
        f'{{"amount":{amount},"tax_amount":{amount - memo.lines.net},'
        f'"applied_amount":{amount - unapplied - refunded},'
        f'"unapplied_amount":{unapplied},"refund_amount":{refunded}}}'
    )


_electronic: Final = (RefundType.ELECTRONIC.value, PaymentMethodType.CREDIT_CARD.value)
_external: Final = (RefundType.EXTERNAL.value, PaymentMethodType.BANK_TRANSFER.value)


def _gateway(memo: Memo, at: object, electronic: bool, failed: bool) -> Row:
    """What the gateway said."""
    if not electronic:
        return (None, None, None, None, GatewayState.NOT_SUBMITTED.value, f"TRF-{memo.stem[-12:]}", None, None)
    said = ("Card expired", "54") if failed else ("Approved", "00")
    state = GatewayState.NOT_SUBMITTED if failed else GatewayState.SUBMITTED
    submitted = None if failed else at
    return (memo.account.methods[0], "test", *said, state.value, f"GW-{memo.stem[-12:]}", submitted, at)


# --- the rows of the memo itself --------------------------------------------------------------------------------------


class Writer:
    """Writes the rows of memos, once all that happens to them has happened."""

    def __init__(self, products: Sequence[Product], rows: Rows, spelling: Spelling) -> None:
        self._products = products
        self._rows = rows.of
        self._spelling = spelling

    def write(self, memo: Memo, status: MemoStatus, target_date: int | None, run: str | None) -> None:
        """Write the memo with its lines and parts."""
        moment = self._spelling.moment
        made, moved = moment(memo.second), moment(memo.moved)
        used = [
            worth - refunded - open_
            for worth, refunded, open_ in zip(memo.lines.worth, memo.refunded, memo.purse.amounts, strict=True)
        ]
        exempts = [
            amount if memo.account.exempt and index % memo.lines.step and amount > 0 else 0
            for index, amount in enumerate(memo.lines.worth)
        ]
        self._head(memo, status, target_date, run, sum(used), sum(exempts))
        quiet, busy = (memo.who, made, memo.who, made), (memo.who, made, memo.who, moved)
        self._lines(memo, used, exempts, quiet, busy)
        if memo.posted is not None:
            self._parts(memo, moved)

    def _head(
        self, memo: Memo, status: MemoStatus, target_date: int | None, run: str | None, applied: int, exempt: int
    ) -> None:
        moment, days, account, dice = self._spelling.moment, self._spelling.days, memo.account, memo.second
        amount, invoice = memo.amount, memo.invoice
        failed = status is MemoStatus.ERROR
        posted = (None, None) if memo.posted is None else (memo.who, moment(memo.posted))
        cancelled = (None, None) if memo.cancelled is None else (memo.who, moment(memo.cancelled))
        sent = _TRANSFERS[dice % len(_TRANSFERS)] if memo.posted else TransferredToAccounting.NO.value
        self._rows["credit_memos"].append(
            (memo.id, memo.number, account.id, account.region.currency, account.contact_id, status.value)
            + (days[memo.day], None if target_date is None else days[target_date])
            + (amount, amount - memo.lines.net, exempt, applied, sum(memo.refunded))
            + (_COMMENTS[dice % len(_COMMENTS)], _REASONS[dice % len(_REASONS)])
            + (memo.kind.value, _SOURCE_TYPES[memo.kind], run, None if invoice is None else invoice.id)
            + (invoice is not None and dice % 10 == 0, dice % 12 == 0, memo.reversed, sent)
            + ((TaxStatus.TAX_ENGINE_ERROR.value, "The tax engine did not answer.") if failed else (None, None))
            + posted
            + cancelled
            + (_CUSTOM_FIELDS[dice % len(_CUSTOM_FIELDS)], max(memo.version, 1))
            + (memo.who, moment(memo.second), memo.who, moment(memo.moved))
        )

    def _lines(self, memo: Memo, used: list[int], exempts: list[int], quiet: Row, busy: Row) -> None:
        lines, step, sources, currency = memo.lines, memo.lines.step, memo.sources, memo.account.region.currency
        worth, refunded, inclusive = lines.worth, memo.refunded, memo.account.inclusive
        day, days = memo.day, self._spelling.days
        service = (days[max(day - 30, 0)], days[day])
        mode = _INCLUSIVE if inclusive else _EXCLUSIVE
        item_tail = (memo.id, currency, mode, bool(memo.tax_sources), _ITEM_SOURCES[memo.kind], *service)
        tax_tail = (memo.id, currency, days[day])
        tails = [tax.tail for tax in memo.account.region.taxes]
        item_rows, tax_rows = self._rows["credit_memo_items"].append, self._rows["credit_memo_taxation_items"].append
        position = base = 0
        for number, item in enumerate(lines.items, 1):
            item_id, net, end = sources[base][0], worth[base], base + step
            kind, of = (CHARGE, None) if item.discounts is None else (DISCOUNT, sources[item.discounts * step][0])
            item_rows(
                (item_id, number, sum(worth[base:end]) if inclusive else net, net, used[base], refunded[base])
                + (kind, of, item.quantity * ONE, net // item.quantity * UNIT_PRICE, memo.item_sources[number - 1])
                + item_tail
                + (busy if used[base] or refunded[base] else quiet)
                + self._products[item.product].credit_tail
            )
            for line, tail in zip(range(base + 1, end), tails, strict=False):
                position += 1
                tax_rows(
                    (sources[line][1], item_id, position, worth[line], exempts[line], used[line], refunded[line])
                    + (memo.tax_sources[line] if memo.tax_sources else None, *tax_tail)
                    + (busy if used[line] or refunded[line] else quiet)
                    + tail
                )
            base = end

    def _parts(self, memo: Memo, moved: object) -> None:
        assert memo.posted is not None
        stem, sources, who, moment = memo.stem, memo.sources, memo.who, self._spelling.moment
        tail = (memo.id, memo.account.region.currency)
        part_rows, inside = self._rows["credit_memo_parts"].append, self._rows["credit_memo_item_parts"].append
        unapplied = [(index, amount) for index, amount in enumerate(memo.purse.amounts) if amount]
        if unapplied:
            part_id, end = f"cmp_{stem}0001", (*tail, who, moment(memo.posted), who, moved)
            part_rows((part_id, sum([amount for _, amount in unapplied]), None, None, *end))
            for index, amount in unapplied:
                place = memo.positions[index]
                assert place is not None
                inside((f"cip_{stem}{SUFFIX[place]}", part_id, place, amount, *sources[index], *NOWHERE, *end))
        for number, target, places, since in memo.placed:
            if not places:
                continue
            part_id, end = f"cmp_{stem}{SUFFIX[number]}", (*tail, who, moment(since), who, moved)
            total = sum([move.amount for move in places])
            part_rows((part_id, total, *_target_columns(target), *end))
            for move, place in places.items():
                inside(
                    (f"cip_{stem}{SUFFIX[place]}", part_id, place, move.amount)
                    + sources[move.source]
                    + target.places[move.target]
                    + end
                )


_SOURCE_TYPES: Final = {
    MemoSource.ADHOC_FROM_INVOICE: SourceType.INVOICE.value,
    MemoSource.ADHOC_FROM_PRPC: SourceType.STANDALONE.value,
    MemoSource.BILL_RUN: SourceType.SUBSCRIPTION.value,
}
_ITEM_SOURCES: Final = {
    MemoSource.ADHOC_FROM_INVOICE: ItemSourceType.INVOICE_DETAIL.value,
    MemoSource.ADHOC_FROM_PRPC: ItemSourceType.PRODUCT_RATE_PLAN_CHARGE.value,
    MemoSource.BILL_RUN: ItemSourceType.SUBSCRIPTION_COMPONENT.value,
}
_CUSTOM_FIELDS: Final = ("{}", "{}", "{}", '{"Ticket__c":"CS-2041"}', '{"Approver__c":"J. Díaz","Urgent__c":true}')
