"""How what a memo has unapplied is paid back, recorded only or through a payment gateway (domain.md 1.22, 2.6, 4.6).

`prepare` says what would be refunded, `refund` makes it so. Where a gateway is asked, that happens between `submit`,
which records what it is asked for, and `settle`, which lets the money leave the memo, or records that the gateway would
not; until then the memo is held (docs/decisions/0004).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any

from cm_graphql.domain import ledger, limits, movement, shape
from cm_graphql.domain.commands.refunds import CreditMemoRefundItem, RefundCreditMemo
from cm_graphql.domain.distribution import first_out
from cm_graphql.domain.enums import (
    GatewayState,
    MemoStatus,
    PaymentMethodType,
    ReasonCodeType,
    RefundStatus,
    RefundType,
    TransferredToAccounting,
)
from cm_graphql.domain.errors import ErrorCode, Fault, Faults, Refusal, field_name, refuse
from cm_graphql.domain.ledger import LedgerEntry, Pair
from cm_graphql.domain.records import CreditMemo, CustomRate, Stamp
from cm_graphql.domain.requests import find_credit_line, line_indexes
from cm_graphql.domain.rulebook import RuleBook


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethod:
    """A way to send money back (domain.md 2.9)."""

    id: str
    account_id: str
    type: PaymentMethodType
    electronic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAnswer:
    """What a payment gateway said to an electronic refund."""

    approved: bool
    state: GatewayState
    response: str | None = None
    response_code: str | None = None
    reference_id: str | None = None
    second_reference_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundItemPart:
    """How much of a refund came from one credit line (domain.md 2.6)."""

    id: str
    amount: int
    source_id: str
    """A credit memo item (`cmi_`) or taxation item (`cmt_`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPart:
    """How much of a refund came from one memo (domain.md 2.6)."""

    id: str
    amount: int
    credit_memo_id: str
    item_parts: tuple[RefundItemPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money paid back, or an attempt at it that failed (domain.md 2.6)."""

    id: str
    number: str
    account_id: str
    credit_memo_id: str
    currency: str
    amount: int
    type: RefundType
    method_type: PaymentMethodType
    status: RefundStatus
    refund_date: date
    reason_code: str | None
    gateway_state: GatewayState
    comment: str | None = None
    payment_method_id: str | None = None
    gateway_id: str | None = None
    gateway_options: Mapping[str, str] = field(default_factory=dict)
    gateway_response: str | None = None
    gateway_response_code: str | None = None
    reference_id: str | None = None
    second_refund_reference_id: str | None = None
    soft_descriptor: str | None = None
    soft_descriptor_phone: str | None = None
    marked_for_submission_on: datetime | None = None
    submitted_on: datetime | None = None
    settled_on: datetime | None = None
    refund_transaction_time: datetime | None = None
    bank_account_accounting_code: str | None = None
    on_account_accounting_code: str | None = None
    transferred_to_accounting: TransferredToAccounting = TransferredToAccounting.NO
    custom_rates: tuple[CustomRate, ...] = ()
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    net_suite: Mapping[str, Any] = field(default_factory=dict)
    part: RefundPart | None = None
    """What it took from the memo, or takes once the gateway has approved; nothing where it failed."""

    def __post_init__(self) -> None:
        assert (self.status is RefundStatus.ERROR) == (self.part is None), "a failed refund takes nothing"
        if self.part is not None:
            assert self.amount == self.part.amount == sum(part.amount for part in self.part.item_parts)


@dataclass(frozen=True, kw_only=True)
class RefundPlan:
    """A refund that the rules allow, before any money moved: what a gateway is asked to carry out."""

    memo: CreditMemo
    command: RefundCreditMemo
    amount: int
    amounts: Mapping[Pair, int]
    """What each credit line gives."""
    method_type: PaymentMethodType
    payment_method_id: str | None
    gateway_id: str | None
    refund_date: date
    reason_code: str | None


@dataclass(frozen=True, kw_only=True)
class Refunding:
    """What a refund left behind: everything to be saved and answered."""

    memo: CreditMemo
    refund: Refund
    entries: tuple[LedgerEntry, ...]
    """One entry, none for a refund that failed."""


# --- what must hold before any input is looked at -------------------------------------------------------------------


def check_refund(memo: CreditMemo) -> None:
    """Refuse to refund what is not Posted: INVALID_STATUS."""
    if memo.status is not MemoStatus.POSTED:
        raise refuse(
            ErrorCode.INVALID_STATUS,
            f"Credit memo {memo.name} is {memo.status.spelled}: only a Posted credit memo can be refunded.",
        )


def check_anything_to_refund(memo: CreditMemo) -> None:
    """Refuse to refund a memo with nothing unapplied: AMOUNT_EXCEEDS_UNAPPLIED."""
    if memo.unapplied == 0:
        raise refuse(
            ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
            f"Credit memo {memo.name} has nothing unapplied: only that can be refunded, so unapply first.",
        )


# --- what would be refunded -----------------------------------------------------------------------------------------


def prepare(
    memo: CreditMemo,
    command: RefundCreditMemo,
    method: PaymentMethod | None,
    gateway_id: str | None,
    book: RuleBook,
    stamp: Stamp,
) -> RefundPlan:
    """Decide what is refunded, from which lines and as of which day (domain.md 1.22).

    `method` is the one the command names, `gateway_id` the gateway it names, else the account's, else the tenant's.
    Refuses by domain.md section 5 and 7.36, in that order.
    """
    amount, named = _read(memo, command, method)
    check_refund(memo)
    if method is not None and method.account_id != memo.account_id:
        raise refuse(
            ErrorCode.ACCOUNT_MISMATCH,
            f"Payment method {method.id} belongs to account {method.account_id}, credit memo {memo.name} "
            f"to {memo.account_id}.",
            "payment_method_id",
        )
    day = _refund_date(memo, command, book, stamp)
    kind = ReasonCodeType.CREDIT_MEMO_REFUND
    reason = book.reason(kind, command.reason_code, None, "reason_code")
    if reason is None:
        reason = book.reason(kind, None, "Standard Refund", "reason_code")
    amounts = _choose(memo, command, amount, named)
    method_type = method.type if method is not None else command.method_type
    assert method_type is not None, "the shape was checked"
    return RefundPlan(
        memo=memo,
        command=command,
        amount=amount,
        amounts=amounts,
        method_type=method_type,
        payment_method_id=method.id if method is not None else None,
        gateway_id=gateway_id if command.type is RefundType.ELECTRONIC else None,
        refund_date=day,
        reason_code=reason,
    )


def _refund_date(memo: CreditMemo, command: RefundCreditMemo, book: RuleBook, stamp: Stamp) -> date:
    floor = memo.credit_memo_date
    day = command.refund_date or max(stamp.today, floor)
    if day < floor:
        raise refuse(
            ErrorCode.REFUND_DATE_TOO_EARLY,
            f"The refund date {day} is too early: it must be on or after {floor}, the date of credit memo {memo.name}.",
            "refund_date",
        )
    book.require_open(day, "refund date", "refund_date")
    return day


def _choose(memo: CreditMemo, command: RefundCreditMemo, amount: int, named: list[tuple[int, int]]) -> dict[Pair, int]:
    """What each line gives: as asked, else the first open lines first (domain.md 4.4)."""
    faults = Faults()
    shape.at_most(len(named), limits.EXPLICIT_ITEMS, "items", faults, "items")
    shape.at_most(len(command.custom_rates or ()), limits.CUSTOM_RATES, "custom rates", faults, "custom_rates")
    shape.at_most(
        len(command.gateway_options or ()), limits.GATEWAY_OPTIONS, "gateway options", faults, "gateway_options"
    )
    faults.raise_if_any()
    explicit = command.items is not None
    taken = named if explicit else first_out([line.unapplied for line in memo.lines], amount)
    if len(taken) > limits.REFUND_LINES:
        raise refuse(
            ErrorCode.LIMIT_EXCEEDED,
            f"{len(taken)} lines would be refunded; at most {limits.REFUND_LINES} can be at once.",
        )
    check_anything_to_refund(memo)
    show = memo.currency.show
    if amount > memo.unapplied:
        raise refuse(
            ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
            f"Credit memo {memo.name} has {show(memo.unapplied)} unapplied: {show(amount)} cannot be refunded.",
            "total_amount",
        )
    amounts: dict[Pair, int] = {}
    for position, (index, share) in enumerate(taken):
        line = memo.lines[index]
        amounts[(line.id, None)] = total = amounts.get((line.id, None), 0) + share
        if total > line.unapplied:
            raise refuse(
                ErrorCode.AMOUNT_EXCEEDS_UNAPPLIED,
                f"Line {line.id} of credit memo {memo.name} has {show(line.unapplied)} unapplied: "
                f"{show(total)} cannot be refunded from it.",
                "items",
                position,
                "amount",
            )
    return amounts


# --- the shape of the request ---------------------------------------------------------------------------------------


def _read(
    memo: CreditMemo, command: RefundCreditMemo, method: PaymentMethod | None
) -> tuple[int, list[tuple[int, int]]]:
    """Read the amounts, the lines by index, and refuse all faults of shape together."""
    faults = Faults()
    _check_method(command, method, faults)
    amount = shape.amount(command.total_amount, memo.currency, faults, "total_amount")
    if command.total_amount <= 0:
        faults.add(
            ErrorCode.INVALID_VALUE, f"{command.total_amount} cannot be refunded: it must be above 0.", "total_amount"
        )
    named = _read_items(memo, command, amount, faults)
    shape.text(command.gateway_id, limits.TEXT_LENGTH, faults, "gateway_id")
    shape.text(command.comment, limits.COMMENT_LENGTH, faults, "comment")
    shape.text(command.reference_id, limits.REFERENCE_LENGTH, faults, "reference_id")
    shape.text(command.second_refund_reference_id, limits.REFERENCE_LENGTH, faults, "second_refund_reference_id")
    shape.text(command.soft_descriptor, limits.SOFT_DESCRIPTOR_LENGTH, faults, "soft_descriptor")
    shape.text(command.soft_descriptor_phone, limits.SOFT_DESCRIPTOR_PHONE_LENGTH, faults, "soft_descriptor_phone")
    _check_attachments(command, faults)
    faults.raise_if_any()
    return amount, named


def _check_method(command: RefundCreditMemo, method: PaymentMethod | None, faults: Faults) -> None:
    """Each type of refund takes fields of its own: FIELD_REQUIRED, REFUND_METHOD_CONFLICT (domain.md 1.22, 7.36)."""
    external = command.type is RefundType.EXTERNAL
    required, foreign = (
        ("method_type", ("payment_method_id", "gateway_id", "gateway_options"))
        if external
        else ("payment_method_id", ("method_type", "refund_date"))
    )
    shape.required(getattr(command, required), faults, required)
    for name in foreign:
        if getattr(command, name) is not None:
            faults.add(
                ErrorCode.REFUND_METHOD_CONFLICT,
                f"{field_name(name)} is for {'ELECTRONIC' if external else 'EXTERNAL'} refunds only; "
                f"this one is {command.type}.",
                name,
            )
    if not external and method is not None and not method.electronic:
        faults.add(
            ErrorCode.REFUND_METHOD_CONFLICT,
            f"Payment method {method.id} is not electronic: an ELECTRONIC refund needs one that is.",
            "payment_method_id",
        )


def _read_items(memo: CreditMemo, command: RefundCreditMemo, amount: int, faults: Faults) -> list[tuple[int, int]]:
    if command.items is None:
        return []
    before = len(faults)
    named: list[tuple[int, int]] = []
    indexes = line_indexes(memo)
    for position, item in enumerate(command.items):
        share = shape.amount(item.amount, memo.currency, faults, "items", position, "amount")
        try:
            named.append((_line(memo, item, indexes), share))
        except Refusal as refusal:
            faults.extend(
                Fault(fault.code, fault.message, ("items", position, *fault.field)) for fault in refusal.faults
            )
    given = sum(share for _, share in named)
    if len(faults) == before and given != amount:
        show = memo.currency.show
        faults.add(
            ErrorCode.ITEMS_SUM_MISMATCH,
            f"The items add up to {show(given)}, not to the total amount {show(amount)}.",
            "total_amount",
        )
    return named


def _line(memo: CreditMemo, item: CreditMemoRefundItem, indexes: Mapping[str, int]) -> int:
    index = find_credit_line(memo, item.credit_memo_item_id, item.credit_tax_item_id, indexes)
    if item.amount <= 0 or memo.lines[index].worth < 0:
        raise refuse(
            ErrorCode.INVALID_VALUE,
            f"{item.amount} cannot be refunded from line {memo.lines[index].id}: "
            "only amounts above 0 can, and only from lines above 0.",
            "amount",
        )
    return index


def _check_attachments(command: RefundCreditMemo, faults: Faults) -> None:
    for position, rate in enumerate(command.custom_rates or ()):
        shape.number(rate.custom_fx_rate, faults, "custom_rates", position, "custom_fx_rate")
        if rate.custom_fx_rate <= 0:
            faults.add(
                ErrorCode.INVALID_VALUE,
                f"An exchange rate is above 0, not {rate.custom_fx_rate}.",
                "custom_rates",
                position,
                "custom_fx_rate",
            )
    for position, option in enumerate(command.gateway_options or ()):
        shape.text(option.key, limits.TEXT_LENGTH, faults, "gateway_options", position, "key")
        shape.text(option.value, limits.TEXT_LENGTH, faults, "gateway_options", position, "value")
    if command.finance_information is not None:
        for name in ("bank_account_accounting_code", "on_account_accounting_code"):
            code = getattr(command.finance_information, name)
            shape.text(code, limits.CODE_NAME_LENGTH, faults, "finance_information", name)
    if command.net_suite is not None:
        for name, value in asdict(command.net_suite).items():
            shape.text(value, limits.NET_SUITE_LENGTH, faults, "net_suite", name)
    shape.custom_fields(command.custom_fields, faults, "custom_fields")


# --- the refund -----------------------------------------------------------------------------------------------------


def refund(plan: RefundPlan, answer: GatewayAnswer | None, number: str, stamp: Stamp) -> Refunding:
    """Carry out a plan: money leaves the unapplied part for good.

    An external refund has no answer of a gateway and is Processed at once. An electronic one that the gateway did not
    approve is recorded with status Error and leaves the memo as it is (domain.md 7.17).
    """
    assert (answer is None) == (plan.command.type is RefundType.EXTERNAL), "a gateway answers electronic refunds only"
    if answer is not None:
        return settle(submit(plan, number, stamp), plan.memo, answer, stamp)
    command = plan.command
    record = _refund(
        plan,
        number,
        stamp,
        status=RefundStatus.PROCESSED,
        gateway_state=GatewayState.NOT_SUBMITTED,
        reference_id=command.reference_id,
        second_refund_reference_id=command.second_refund_reference_id,
    )
    return _paid_out(record, plan.memo, stamp)


def submit(plan: RefundPlan, number: str, stamp: Stamp) -> Refund:
    """Record what a gateway is about to be asked for; nothing leaves the memo yet."""
    command = plan.command
    assert command.type is RefundType.ELECTRONIC
    return _refund(
        plan,
        number,
        stamp,
        status=RefundStatus.PROCESSING,
        gateway_state=GatewayState.MARKED_FOR_SUBMISSION,
        marked_for_submission_on=stamp.at,
        gateway_id=plan.gateway_id,
        gateway_options={option.key: option.value for option in command.gateway_options or ()},
        reference_id=command.reference_id,
        second_refund_reference_id=command.second_refund_reference_id,
    )


def settle(submitted: Refund, memo: CreditMemo, answer: GatewayAnswer, stamp: Stamp) -> Refunding:
    """Make of a submitted refund what the gateway answered; its own references win over the caller's.

    `memo` is as it was when the refund was submitted. Not approved, it stays so (domain.md 7.17).
    """
    assert submitted.status is RefundStatus.PROCESSING
    record = replace(
        submitted,
        status=RefundStatus.PROCESSED if answer.approved else RefundStatus.ERROR,
        gateway_state=answer.state,
        gateway_response=answer.response,
        gateway_response_code=answer.response_code,
        reference_id=answer.reference_id or submitted.reference_id,
        second_refund_reference_id=answer.second_reference_id or submitted.second_refund_reference_id,
        refund_transaction_time=stamp.at,
        submitted_on=stamp.at if answer.state in (GatewayState.SUBMITTED, GatewayState.SETTLED) else None,
        settled_on=stamp.at if answer.state is GatewayState.SETTLED else None,
        part=submitted.part if answer.approved else None,
    )
    return _paid_out(record, memo, stamp) if answer.approved else Refunding(memo=memo, refund=record, entries=())


def _paid_out(record: Refund, memo: CreditMemo, stamp: Stamp) -> Refunding:
    assert record.part is not None
    amounts: dict[Pair, int] = {(part.source_id, None): part.amount for part in record.part.item_parts}
    return Refunding(
        memo=movement.pay_out(memo, amounts, stamp),
        refund=record,
        entries=(ledger.refund_entry(memo, record.id, amounts, record.refund_date, stamp),),
    )


def _refund(plan: RefundPlan, number: str, stamp: Stamp, **state: Any) -> Refund:
    memo, command = plan.memo, plan.command
    return Refund(
        id=stamp.new_id("ref"),
        number=number,
        account_id=memo.account_id,
        credit_memo_id=memo.id,
        currency=memo.currency.code,
        amount=plan.amount,
        type=command.type,
        method_type=plan.method_type,
        refund_date=plan.refund_date,
        reason_code=plan.reason_code,
        comment=command.comment,
        payment_method_id=plan.payment_method_id,
        soft_descriptor=command.soft_descriptor,
        soft_descriptor_phone=command.soft_descriptor_phone,
        custom_rates=tuple(
            CustomRate(currency=rate.currency, custom_fx_rate=rate.custom_fx_rate, rate_date=rate.rate_date)
            for rate in command.custom_rates or ()
        ),
        custom_fields=command.custom_fields or {},
        part=_part(plan, stamp),
        **_booked(command),
        **state,
    )


def _part(plan: RefundPlan, stamp: Stamp) -> RefundPart:
    return RefundPart(
        id=stamp.new_id("rfp"),
        amount=plan.amount,
        credit_memo_id=plan.memo.id,
        item_parts=tuple(
            RefundItemPart(id=stamp.new_id("rip"), amount=amount, source_id=source_id)
            for (source_id, _), amount in plan.amounts.items()
        ),
    )


def _booked(command: RefundCreditMemo) -> dict[str, Any]:
    booked: dict[str, Any] = {}
    if (finance := command.finance_information) is not None:
        booked["bank_account_accounting_code"] = finance.bank_account_accounting_code
        booked["on_account_accounting_code"] = finance.on_account_accounting_code
        booked["transferred_to_accounting"] = finance.transferred_to_accounting or TransferredToAccounting.NO
    if command.net_suite is not None:
        given = asdict(command.net_suite)
        booked["net_suite"] = {name: value for name, value in given.items() if value is not None}
    return booked
