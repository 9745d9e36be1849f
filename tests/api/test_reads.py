"""What clients read of documents: every field, and every way from one to another, at a cost that many do not raise."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)

from cm_graphql.api.schema import schema
from cm_graphql.fields.declare import PREFIXES
from cm_graphql.operations.viewer import ADMIN, Viewer
from databases import Databases, chosen_kinds
from reading import Reader, reading
from rows import NOW, Rows
from world import an_account_with_everything

NODES = schema._schema.type_map

FLEETING = {"downloadUrl"}
"""Fields that answer something else each time: a link is signed for a moment."""


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    with reading(database_url) as reader:
        yield reader


def everything(name: str, depth: int = 2) -> str:
    """A selection of all fields of a type, and of what they lead to."""
    type_: Any = NODES[name]
    if isinstance(type_, GraphQLInterfaceType):
        return "__typename id"
    assert isinstance(type_, GraphQLObjectType)
    chosen = ["__typename"]
    for key, field in type_.fields.items():
        assert not any(is_required_argument(argument) for argument in field.args.values())
        inner = get_named_type(field.type)
        if key in FLEETING:
            continue
        if is_leaf_type(inner):
            chosen.append(key)
        elif depth > 0:
            # A connection and its edges are levels that lead nowhere.
            deeper = depth if inner.name.endswith(("Connection", "Edge", "PageInfo")) else depth - 1
            chosen.append(f"{key} {{ {everything(inner.name, deeper)} }}")
    return " ".join(chosen)


def refetch(key: str, depth: int) -> str:
    """A query of everything about what has this id."""
    name = PREFIXES[key.partition("_")[0]].name
    return f'{{ node(id: "{key}") {{ ... on {name} {{ {everything(name, depth)} }} }} }}'


def test_every_field_of_every_type_is_answered(reader: Reader) -> None:
    rows = Rows()
    an_account_with_everything(rows)
    rows.period()
    reader.save(rows)
    by_prefix = {key.partition("_")[0]: key for key in rows.of if not key.startswith("pdf")}
    reasons = reader.ask("{ reasonCodes(first: 1) { nodes { id } } }")["reasonCodes"]["nodes"]
    ids = [*by_prefix.values(), reasons[0]["id"]]

    assert {key.partition("_")[0] for key in ids} == set(PREFIXES)
    for key in ids:
        found = reader.ask(refetch(key, 1))["node"]
        assert found["id"] == key
        assert found["__typename"] == PREFIXES[key.partition("_")[0]].name


DEEP = """
query($memos: Int) {
  creditMemos(first: $memos) {
    totalCount
    nodes {
      account { name unappliedCreditMemoAmounts { currency amount } paymentMethods { nodes { type } } }
      referredInvoice { availableToCredit creditMemoParts { totalCount nodes { amount } } }
      billToContact { workEmail }
      latestPdfFile { versionNumber }
      pdfStatus { pdfGenerationStatus pdfFileUrl }
      items(first: 10) {
        totalCount
        nodes {
          amount
          appliedToItem { skuName }
          sourceItem { __typename ... on InvoiceItem { availableToCreditAmount invoice { balance } } }
          taxationItems { totalCount nodes { taxAmount sourceTaxItem { availableToCreditAmount } } }
        }
      }
      parts(first: 10) {
        nodes {
          amount
          invoice { invoiceNumber }
          debitMemo { number items(first: 10) { nodes { balance taxationItems { nodes { balance } } } } }
          itemParts(first: 20) {
            nodes {
              amount
              creditMemoItem { skuName }
              creditTaxItem { name }
              invoiceItem { chargeName productRatePlanCharge { prices { currency price } } }
              debitMemoItem { skuName sourceItem { id } }
              taxItem { __typename ... on InvoiceTaxationItem { name } ... on DebitMemoTaxationItem { name } }
            }
          }
        }
      }
      refunds { nodes { amount paymentMethod { type } parts { nodes { itemParts(first: 20) { nodes { amount } } } } } }
      debitMemos { nodes { number } }
      files { nodes { pdfFileUrl } }
      jobs { nodes { status } }
      history(last: 1) { totalCount nodes { amountsAfter { appliedAmount } targets { amount target { id } } } }
    }
  }
}
"""


def test_many_memos_take_as_many_statements_as_one(reader: Reader) -> None:
    rows = Rows()
    for _ in range(3):
        an_account_with_everything(rows, memos=4)
    reader.save(rows)

    one, few = reader.counted(DEEP, memos=1)
    twelve, many = reader.counted(DEEP, memos=100)

    assert len(one["creditMemos"]["nodes"]) == 1
    assert len(twelve["creditMemos"]["nodes"]) == 12
    assert few == many


def test_both_databases_answer_the_same_bytes(databases: Databases) -> None:
    answers: list[list[bytes]] = []
    for kind in chosen_kinds():
        with databases.fresh(kind) as url, reading(url) as reader:
            rows = Rows()
            for currency in ("USD", "JPY", "KWD", "CLF"):
                an_account_with_everything(rows, 1, currency)
            reader.save(rows)
            ids = [key for key in rows.of if not key.startswith("pdf")]
            answers.append(
                [
                    *(reader.post(refetch(key, 0)).content for key in ids),
                    reader.post(DEEP, {"memos": 100}).content,
                    reader.post("{ creditMemoSummary(groupBy: [MONTH, ACCOUNT]) { key { month } amount } }").content,
                ]
            )

    assert all(b'"errors"' not in answer for kind in answers for answer in kind)
    assert all(kind == answers[0] for kind in answers)


# --- ids, keys and numbers --------------------------------------------------------------------------------------------


@pytest.fixture
def documents(reader: Reader) -> Rows:
    rows = Rows()
    an_account_with_everything(rows)
    reader.save(rows)
    return rows


@pytest.mark.parametrize(
    ("field", "prefix", "number"),
    [
        ("creditMemo", "cm", "CM00000001"),
        ("account", "acc", "A1"),
        ("invoice", "inv", "INV00000001"),
        ("debitMemo", "dm", "DM00000001"),
    ],
)
def test_a_key_is_an_id_its_digits_or_the_number(
    reader: Reader, documents: Rows, field: str, prefix: str, number: str
) -> None:
    wanted = {"id": f"{prefix}_{1:032x}"}
    query = f"query($key: ID!) {{ {field}(key: $key) {{ id }} }}"

    for key in (wanted["id"], f"{1:032x}", number):
        assert reader.ask(query, key=key)[field] == wanted
    for key in (f"{prefix}_{2:032x}", f"{2:032x}", number.lower(), number + " ", "", "\0", f"{prefix}_1", "x" * 10_000):
        assert reader.ask(query, key=key)[field] is None
    assert "no id of this kind" in reader.refused(query, key=f"pm_{1:032x}")


def test_keys_asked_for_together_take_one_statement_a_kind(reader: Reader, documents: Rows) -> None:
    fields = " ".join(f'n{number}: creditMemo(key: "CM{number:08d}") {{ id }}' for number in range(1, 9))
    ids = " ".join(f'i{number}: creditMemo(key: "cm_{number:032x}") {{ id }}' for number in range(1, 9))

    found, statements = reader.counted(f"{{ {fields} {ids} }}")

    assert found["n1"] == found["i1"] == {"id": f"cm_{1:032x}"}
    assert found["n2"] is found["i2"] is None
    assert statements == 2


@pytest.mark.parametrize(
    ("field", "prefix"), [("creditMemoItem", "cmi"), ("creditMemoPart", "cmp"), ("creditMemoJob", "cmj")]
)
def test_lines_parts_and_jobs_are_found_by_id(reader: Reader, documents: Rows, field: str, prefix: str) -> None:
    query = f"query($id: ID!) {{ {field}(id: $id) {{ id }} }}"

    for key in (f"{prefix}_{1:032x}", f"{1:032x}"):
        assert reader.ask(query, id=key)[field] == {"id": f"{prefix}_{1:032x}"}
    assert reader.ask(query, id=f"{prefix}_{99:032x}")[field] is None
    for key in ("", "1", "\0", f"cm_{1:032x}", f"{prefix}_{1:031x}", f"{prefix}_{1:033x}", f"{prefix}_{10:032X}"):
        assert "no id of this kind" in reader.refused(query, id=key)


def test_nodes_come_in_the_order_asked_with_null_for_the_unknown(reader: Reader, documents: Rows) -> None:
    ids = [f"cmi_{1:032x}", f"cm_{7:032x}", f"cm_{1:032x}", f"cmi_{1:032x}", f"rc_{0:032x}"]

    found = reader.ask("query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids)["nodes"]

    assert found == [
        {"__typename": "CreditMemoItem", "id": ids[0]},
        None,
        {"__typename": "CreditMemo", "id": ids[2]},
        {"__typename": "CreditMemoItem", "id": ids[0]},
        None,
    ]
    assert reader.ask("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[])["nodes"] == []


@pytest.mark.parametrize(
    "key", ["", "1", "cm_", "CM00000001", f"{1:032x}", f"zz_{1:032x}", f"led_{1:032x}", f"CM_{1:032x}", "\0", "é" * 100]
)
def test_a_malformed_id_is_the_callers_mistake(reader: Reader, key: str) -> None:
    assert reader.refused("query($id: ID!) { node(id: $id) { id } }", id=key)
    assert reader.refused("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[f"cm_{1:032x}", key])


def test_only_so_many_nodes_are_found_at_once(reader: Reader) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert reader.ask(query, ids=[f"cm_{1:032x}"] * 100)["nodes"] == [None] * 100
    assert "101 ids" in reader.refused(query, ids=[f"cm_{1:032x}"] * 101)


# --- amounts that are derived -----------------------------------------------------------------------------------------


def test_only_posted_memos_that_are_not_reversed_take_from_what_is_available_to_credit(reader: Reader) -> None:
    rows = Rows()
    account = rows.account()
    invoice = rows.invoice(account, 1_000_000, credit_amount=150_000)
    item, discount = rows.invoice_item(invoice, 1_000_000), rows.invoice_item(invoice, -200_000)
    tax = rows.invoice_tax(item, 100_000)
    other = rows.invoice(account, 500_000)
    for number, status, reverse in (
        (1, "POSTED", False),
        (2, "DRAFT", False),
        (4, "POSTED", True),
        (8, "CANCELED", False),
    ):
        memo = rows.memo(account, 10_000 * number, status=status, reversed=reverse, referred_invoice_id=invoice)
        line = rows.item(memo, 10_000 * number, source_item_id=item)
        rows.item(memo, -1_000 * number, source_item_id=discount)
        rows.tax(line, 100 * number, source_tax_item_id=tax)
    rows.memo(account, 200_000, referred_invoice_id=invoice)
    reader.save(rows)

    found = reader.ask(
        """{ invoices(sort: [{field: INVOICE_NUMBER}]) { nodes { availableToCredit balance
             items(sort: [{field: CHARGE_AMOUNT, direction: DESC}]) {
               nodes { availableToCreditAmount taxationItems { nodes { availableToCreditAmount } } } } } } }"""
    )["invoices"]["nodes"]

    assert found[0]["availableToCredit"] == "79.00"
    assert found[0]["balance"] == "85.00"
    assert [line["availableToCreditAmount"] for line in found[0]["items"]["nodes"]] == ["99.00", "-19.90"]
    assert found[0]["items"]["nodes"][0]["taxationItems"]["nodes"] == [{"availableToCreditAmount": "9.99"}]
    assert found[1]["availableToCredit"] == "50.00"
    assert rows.of[other]["amount"] == 500_000


def test_what_an_account_can_use_is_added_up_by_currency(reader: Reader) -> None:
    rows = Rows()
    first, second, third = rows.account(), rows.account(), rows.account()
    rows.memo(first, 100_000)
    rows.memo(first, 250_000, applied_amount=200_000)
    rows.memo(first, 70_000, status="DRAFT")
    rows.memo(first, 70_000, status="CANCELED")
    rows.memo(first, 30_000, currency="EUR", applied_amount=30_000)
    rows.memo(first, 12_340_000, currency="JPY")
    for _ in range(200):
        rows.memo(second, 10**17 - 1)
    reader.save(rows)

    found = reader.ask("{ accounts { nodes { unappliedCreditMemoAmounts { currency amount } } } }")["accounts"]["nodes"]

    assert [account["unappliedCreditMemoAmounts"] for account in found] == [
        [{"currency": "JPY", "amount": "1234"}, {"currency": "USD", "amount": "15.00"}],
        [{"currency": "USD", "amount": "1999999999999999.98"}],
        [],
    ]
    assert third


@pytest.mark.parametrize(
    ("currency", "shown"), [("USD", "12.30"), ("JPY", "12"), ("KWD", "12.300"), ("CLF", "12.3000"), ("MRU", "12.30")]
)
def test_amounts_have_their_currencys_decimals(reader: Reader, currency: str, shown: str) -> None:
    rows = Rows()
    amount = 120_000 if currency == "JPY" else 123_000
    memo = rows.memo(rows.account(), amount, currency=currency)
    rows.item(memo, -amount)
    rows.event(memo, amounts_after={"amount": amount}, targets=[{"id": memo, "number": None, "amount": -amount}])
    reader.save(rows)

    found = reader.ask(
        """{ creditMemos { nodes { amount items { nodes { amount } }
             history { nodes { amountsAfter { amount } targets { amount } } } } } creditMemoSummary { amount } }"""
    )

    found_memo = found["creditMemos"]["nodes"][0]
    assert found_memo["amount"] == found["creditMemoSummary"][0]["amount"] == shown
    assert found_memo["items"]["nodes"] == [{"amount": f"-{shown}"}]
    assert found_memo["history"]["nodes"] == [{"amountsAfter": {"amount": shown}, "targets": [{"amount": f"-{shown}"}]}]


# --- numbers, links and PDFs ------------------------------------------------------------------------------------------


def test_a_memo_of_a_dry_run_shows_no_number(reader: Reader) -> None:
    rows = Rows()
    memo = rows.memo(rows.account(), number="~cm_1")
    rows.event(memo)
    reader.save(rows)

    found = reader.ask("{ creditMemos { nodes { number history { nodes { creditMemoNumber } } } } }")["creditMemos"]

    assert found["nodes"] == [{"number": None, "history": {"nodes": [{"creditMemoNumber": None}]}}]


def test_what_lives_in_another_system_or_is_gone_is_null(reader: Reader) -> None:
    rows = Rows()
    memo = rows.memo(rows.account())
    for source in (f"{1:032x}", "sub_1", f"zzz_{1:032x}", f"chg_{1:032x}", f"cm_{'x' * 32}", "_"):
        rows.item(memo, source_item_id=source)
    rows.event(memo)
    rows.of[next(key for key in rows.of if key.startswith("cme"))]["credit_memo_id"] = f"cm_{77:032x}"
    event = next(key for key in rows.of if key.startswith("cme"))
    reader.save(rows)

    items = reader.ask("{ creditMemos { nodes { items { nodes { sourceItemId sourceItem { id } } } } } }")
    told = reader.ask("query($id: ID!) { node(id: $id) { ... on CreditMemoEvent { creditMemo { id } } } }", id=event)

    listed = items["creditMemos"]["nodes"][0]["items"]["nodes"]
    assert len(listed) == 6
    assert all(line["sourceItem"] is None and line["sourceItemId"] for line in listed)
    assert told["node"]["creditMemo"] is None


PDFS: tuple[tuple[str, int, str | None, str, str | None], ...] = (
    ("GENERATED", 2, "PROCESSED", "GENERATED", None),
    ("GENERATED", 1, "PROCESSED", "OBSOLETE", None),
    ("PENDING", 2, "PENDING", "PENDING", None),
    ("PENDING", 2, "PROCESSING", "PROCESSING", None),
    ("PENDING", 2, "ERROR", "ERROR", "JOB_FAILED"),
    ("PROCESSING", 2, "CANCELED", "ERROR", "CANCELED"),
    ("PROCESSING", 2, None, "ERROR", "JOB_FAILED"),
    ("ERROR", 2, "PROCESSED", "ERROR", "INVALID_TEMPLATE"),
)
"""Status and memo version of a request, status of its job if there is one; the status shown, and what went wrong."""


def test_the_newest_request_tells_where_the_pdf_stands(reader: Reader) -> None:
    rows = Rows()
    account = rows.account()
    memos = [rows.memo(account, version=2) for _ in range(len(PDFS) + 1)]
    for memo, (status, version, job, _, _) in zip(memos, PDFS, strict=False):
        moments = {"started_date": NOW + timedelta(minutes=1)} if job not in (None, "PENDING") else {}
        if job in ("ERROR", "CANCELED"):
            moments["finished_date"] = NOW + timedelta(minutes=2)
        rows.pdf_request(memo, status="GENERATED", file_id=rows.file(memo), created_on=NOW - timedelta(hours=1))
        rows.pdf_request(
            memo,
            status=status,
            memo_version=version,
            job_id=job and rows.job(memo, operation_type="GENERATE_CREDIT_MEMO_PDF", status=job, **moments),
            file_id=rows.file(memo) if status == "GENERATED" else None,
            error_category="INVALID_TEMPLATE" if status == "ERROR" else None,
        )
    reader.save(rows)
    query = """query($keys: [ID!]!) { creditMemoPdfStatuses(keys: $keys) {
      creditMemoId creditMemo { version } pdfGenerationStatus errorCategory pdfFileUrl createdOn updatedOn
    } }"""

    found, statements = reader.counted(query, keys=[*reversed(memos), "unknown", memos[0], "CM00000002", f"{1:032x}"])

    listed = found["creditMemoPdfStatuses"]
    assert listed[-4] is None
    assert listed[-3] == listed[-1] == listed[-5]
    assert listed[-2] == listed[-6]
    never, *asked = listed[:-4]
    assert never["pdfGenerationStatus"] == "NONE"
    assert never["createdOn"] is never["updatedOn"] is never["pdfFileUrl"] is None
    for memo, status, (_, _, _, shown, category) in zip(memos, reversed(asked), PDFS, strict=False):
        assert status["creditMemoId"] == memo
        assert (status["pdfGenerationStatus"], status["errorCategory"]) == (shown, category)
        assert (status["pdfFileUrl"] is not None) is (shown == "GENERATED")
        assert status["createdOn"]
        assert status["updatedOn"]
    minutes = [datetime.fromisoformat(status["updatedOn"]) - NOW for status in reversed(asked)]
    assert [moment // timedelta(minutes=1) for moment in minutes] == [0, 0, 0, 1, 2, 2, 0, 0]
    assert statements == len(("memos by id", "memos by number", "requests"))
    assert reader.ask("{ creditMemos { nodes { pdfStatus { pdfGenerationStatus } } } }")
    assert "51 keys" in reader.refused(query, keys=["x"] * 51)


# --- who may see what -------------------------------------------------------------------------------------------------


def test_a_caller_limited_to_accounts_sees_nothing_of_others(reader: Reader) -> None:
    rows = Rows()
    mine = an_account_with_everything(rows, memos=2)
    border = {key for key in rows.of if not key.startswith("pdf")}
    an_account_with_everything(rows, memos=2)
    reader.save(rows)
    shared = {"chg", "rc", "per"}
    others = [key for key in rows.of if key not in border and key.partition("_")[0] not in {*shared, "pdf"}]
    own = [key for key in border if key.partition("_")[0] not in shared]
    nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    names = ("accounts", "creditMemos", "invoices", "debitMemos", "refunds")
    listed = " ".join(f"{name} {{ totalCount nodes {{ id }} }}" for name in names)
    lists = f"{{ {listed} creditMemoSummary {{ count }} }}"

    reader.viewer = Viewer("usr_limited", ADMIN, frozenset({mine}))
    assert reader.ask(nodes, ids=others)["nodes"] == [None] * len(others)
    assert [node["id"] for node in reader.ask(nodes, ids=own)["nodes"]] == own
    found = reader.ask(lists)
    assert found.pop("creditMemoSummary") == [{"count": 2}]
    for seen in found.values():
        assert seen["totalCount"] == len(seen["nodes"]) > 0
        assert {node["id"] for node in seen["nodes"]} <= border
    found = reader.ask(
        """{ creditMemo(key: "CM00000003") { id } account(key: "A2") { id } invoice(key: "INV00000003") { id }
             creditMemoPdfStatuses(keys: ["CM00000003"]) { updatedOn } }"""
    )
    assert found == {"creditMemo": None, "account": None, "invoice": None, "creditMemoPdfStatuses": [None]}
    assert reader.ask(DEEP, memos=100)["creditMemos"]["totalCount"] == 2

    reader.viewer = Viewer("usr_nobody", ADMIN, frozenset())
    assert reader.ask(nodes, ids=own)["nodes"] == [None] * len(own)
    nothing = reader.ask(lists)
    assert nothing.pop("creditMemoSummary") == []
    assert all(seen == {"totalCount": 0, "nodes": []} for seen in nothing.values())


def test_a_caller_is_shown_to_themselves(reader: Reader) -> None:
    reader.viewer = Viewer("usr_one", frozenset({"documents:read", "credit_memos:read"}))

    assert reader.ask("{ viewer { id scopes } }")["viewer"] == {
        "id": "usr_one",
        "scopes": ["credit_memos:read", "documents:read"],
    }


def test_what_can_be_done_is_asked_of_fifty_memos_at_a_time(reader: Reader) -> None:
    rows = Rows()
    account = rows.account()
    for _ in range(101):
        rows.memo(account)
    reader.save(rows)
    query = "query ($first: Int) { creditMemos(first: $first) { nodes { availableActions { action } } } }"

    statements = {}
    for first in (1, 50, 51, 100):
        found, statements[first] = reader.counted(query, first=first)
        assert len(found["creditMemos"]["nodes"]) == first

    assert statements[50] == statements[1]
    assert statements[51] == statements[100]
    assert 0 < statements[51] - statements[50] < 25
