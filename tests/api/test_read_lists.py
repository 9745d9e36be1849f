"""Lists of documents: the filters and sorts of the reference, what search looks at, and totals by group."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, get_named_type

from cm_graphql.api import summary
from cm_graphql.api.schema import schema
from cm_graphql.fields.declare import PREFIXES
from reading import Reader, reading
from rows import NOW, TODAY, Rows
from world import an_account_with_everything

MEMO_FILTERS = (
    "accountId",
    "accountNumber",
    "amount",
    "appliedAmount",
    "autoApplyUponPosting",
    "createdById",
    "createdDate",
    "creditMemoDate",
    "currency",
    "excludeFromAutoApplyRules",
    "number",
    "referredInvoiceId",
    "refundAmount",
    "sourceId",
    "status",
    "targetDate",
    "taxAmount",
    "totalTaxExemptAmount",
    "transferredToAccounting",
    "unappliedAmount",
    "updatedById",
    "updatedDate",
)
MEMO_SORTS = (
    "accountId",
    "amount",
    "appliedAmount",
    "createdById",
    "createdDate",
    "creditMemoDate",
    "number",
    "referredInvoiceId",
    "refundAmount",
    "status",
    "targetDate",
    "taxAmount",
    "totalTaxExemptAmount",
    "transferredToAccounting",
    "unappliedAmount",
    "updatedDate",
)
ITEM_FIELDS = (
    "amount",
    "appliedAmount",
    "createdById",
    "createdDate",
    "id",
    "refundAmount",
    "serviceEndDate",
    "serviceStartDate",
    "sku",
    "skuName",
    "sourceItemId",
    "subscriptionId",
    "updatedById",
    "updatedDate",
)
COMBINATIONS = {"and", "or", "not", "search"}
COUNT = 40


def memos_of_all_kinds() -> Rows:
    """Memos that differ in everything that can be filtered and sorted by, and are often alike in each."""
    chance = Random(3)
    rows = Rows()
    accounts = [
        rows.account(number=f"A-{name}", name=name) for name in ("Müller & Söhne", "MÜLLER", "Smith_Co", "100%")
    ]
    invoices = [rows.invoice(account) for account in accounts]
    for number in range(COUNT):
        account = chance.randrange(4)
        amount = chance.choice((0, 100_000, 1_200_000, 10_000_000))  # whole units, for the sake of yen
        posted = chance.random() < 0.7
        applied, refunded = (amount // 5, amount // 10) if posted and chance.random() < 0.5 else (0, 0)
        memo = rows.memo(
            accounts[account],
            amount,
            number=f"CM{chance.randrange(10**8):08d}-{number}",
            currency=chance.choice(("USD", "JPY", "KWD")),
            status="POSTED" if posted else chance.choice(("DRAFT", "CANCELED", "PENDING_FOR_TAX")),
            applied_amount=applied,
            refund_amount=refunded,
            tax_amount=chance.choice((0, amount // 10)),
            total_tax_exempt_amount=chance.choice((0, 20_000)),
            auto_apply_upon_posting=chance.random() < 0.5,
            exclude_from_auto_apply_rules=chance.random() < 0.5,
            created_by_id=chance.choice(("usr_a", "usr_b")),
            updated_by_id=chance.choice(("usr_a", "usr_b")),
            created_date=NOW + timedelta(seconds=chance.randrange(5)),
            updated_date=NOW + timedelta(seconds=chance.randrange(5)),
            credit_memo_date=TODAY + timedelta(days=chance.randrange(-70, 70)),
            target_date=chance.choice((None, TODAY, TODAY + timedelta(days=1))),
            referred_invoice_id=chance.choice((None, invoices[account])),
            source_id=chance.choice((None, "BR-1", "BR-2")),
            transferred_to_accounting=chance.choice(("NO", "YES", "IGNORE")),
            reason_code=chance.choice((None, "Charge Dispute", "Ad hoc Credit")),
            comment=chance.choice((None, "late delivery", "müll")),
        )
        for _ in range(3):
            rows.item(
                memo,
                chance.choice((0, 10_000, 20_000)),
                created_date=NOW + timedelta(seconds=chance.randrange(5)),
                updated_date=NOW + timedelta(seconds=chance.randrange(5)),
                created_by_id=chance.choice(("usr_a", "usr_b")),
                updated_by_id=chance.choice(("usr_a", "usr_b")),
                service_start_date=chance.choice((None, TODAY)),
                service_end_date=chance.choice((None, TODAY + timedelta(days=30))),
                sku=chance.choice((None, "S-1", "S-2")),
                sku_name=chance.choice(("Seats", "Support")),
                subscription_id=chance.choice((None, "sub_1", "A-S00000001")),
                source_item_id=chance.choice((f"chg_{1:032x}", "elsewhere")),
            )
    return rows


@pytest.fixture(scope="module")
def reader(module_database_url: str) -> Iterator[Reader]:
    with reading(module_database_url) as reader:
        reader.save(memos_of_all_kinds())
        yield reader


@pytest.fixture(scope="module")
def memos(reader: Reader) -> list[dict[str, Any]]:
    fields = " ".join({*MEMO_FILTERS, *MEMO_SORTS, "id", "reasonCode", "comment"})
    listed: list[dict[str, Any]] = reader.ask(
        f"{{ creditMemos(first: 100) {{ nodes {{ {fields} account {{ name }} }} }} }}"
    )["creditMemos"]["nodes"]
    assert len(listed) == COUNT
    return listed


def inputs_of(name: str) -> set[str]:
    type_ = schema._schema.type_map[name]
    assert isinstance(type_, GraphQLInputObjectType)
    return set(type_.fields) - COMBINATIONS


def sorts_of(name: str) -> set[str]:
    type_ = schema._schema.type_map[name]
    assert isinstance(type_, GraphQLEnumType)
    return set(type_.values)


def upper(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name)


def test_filters_and_sorts_are_those_of_the_reference() -> None:
    assert inputs_of("CreditMemoFilter") == set(MEMO_FILTERS)
    assert sorts_of("CreditMemoSortField") == {upper(name) for name in MEMO_SORTS}
    assert inputs_of("CreditMemoItemFilter") == set(ITEM_FIELDS)
    assert sorts_of("CreditMemoItemSortField") == {upper(name) for name in ITEM_FIELDS}
    assert (len(MEMO_FILTERS), len(MEMO_SORTS), len(ITEM_FIELDS)) == (22, 16, 14)


def key_of(name: str, value: Any) -> Any:
    # "1.25" of one currency and "1.250" of another are the same amount.
    return Decimal(value) if name.lower().endswith("amount") else value


@pytest.mark.parametrize("name", MEMO_FILTERS)
def test_memos_are_filtered_by_each_field_of_the_reference(
    reader: Reader, memos: list[dict[str, Any]], name: str
) -> None:
    query = "query($filter: CreditMemoFilter) { creditMemos(first: 100, filter: $filter) { totalCount nodes { id } } }"
    values = {key_of(name, memo[name]) for memo in memos}
    assert len(values) > 1
    for value in values:
        for operator, keeps in (("eq", True), ("ne", False)):
            asked = str(value) if isinstance(value, Decimal) else value
            found = reader.ask(query, filter={name: {operator: asked}})["creditMemos"]
            wanted = {memo["id"] for memo in memos if (key_of(name, memo[name]) == value) is keeps}
            assert {memo["id"] for memo in found["nodes"]} == wanted
            assert found["totalCount"] == len(wanted)


def in_order(rows: list[dict[str, Any]], name: str, descending: bool) -> list[str]:
    by_id = sorted(rows, key=lambda row: str(row["id"]), reverse=descending)
    valued = [row for row in by_id if row[name] is not None]
    valued.sort(key=lambda row: key_of(name, row[name]), reverse=descending)  # which leaves equals where they are
    return [row["id"] for row in [*valued, *(row for row in by_id if row[name] is None)]]


@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("name", MEMO_SORTS)
def test_memos_are_sorted_by_each_field_of_the_reference(
    reader: Reader, memos: list[dict[str, Any]], name: str, descending: bool
) -> None:
    query = "query($sort: [CreditMemoSort!]) { creditMemos(first: 100, sort: $sort) { nodes { id } } }"
    sort = [{"field": upper(name), "direction": "DESC" if descending else "ASC"}]

    found = reader.ask(query, sort=sort)["creditMemos"]["nodes"]

    assert [memo["id"] for memo in found] == in_order(memos, name, descending)


def test_memos_come_by_number_downwards(reader: Reader, memos: list[dict[str, Any]]) -> None:
    assert [memo["number"] for memo in memos] == sorted((memo["number"] for memo in memos), reverse=True)
    assert len(reader.ask("{ creditMemos { nodes { id } } }")["creditMemos"]["nodes"]) == 20


@pytest.mark.parametrize(
    "text", ["müll", "MÜLLER", "söhne", "DELIVERY", "_", "%", "cm0", "smith_c", "no such thing", ""]
)
def test_search_looks_at_number_comment_and_account_name(
    reader: Reader, memos: list[dict[str, Any]], text: str
) -> None:
    wanted = {
        memo["id"]
        for memo in memos
        if any(
            value is not None and text.lower() in value.lower()
            for value in (memo["number"], memo["comment"], memo["account"]["name"])
        )
    }
    query = """query($text: String, $filter: CreditMemoFilter) {
      creditMemos(first: 100, filter: {search: $text}) { nodes { id } }
      others: creditMemos(filter: $filter) { totalCount }
      accounts { nodes { creditMemos(first: 100, filter: {search: $text}) { totalCount nodes { id } } } }
    }"""

    found = reader.ask(query, text=text, filter={"not": {"search": text}})

    assert {memo["id"] for memo in found["creditMemos"]["nodes"]} == wanted
    assert found["others"]["totalCount"] == COUNT - len(wanted)
    nested = [memo["id"] for account in found["accounts"]["nodes"] for memo in account["creditMemos"]["nodes"]]
    assert sorted(nested) == sorted(wanted)


# --- items ------------------------------------------------------------------------------------------------------------

ITEMS = """
query($filter: CreditMemoItemFilter, $sort: [CreditMemoItemSort!]) {
  creditMemos(first: 100) { nodes { items(filter: $filter, sort: $sort) { totalCount nodes { %s } } } }
}
"""


def items(reader: Reader, **arguments: Any) -> list[list[dict[str, Any]]]:
    found = reader.ask(ITEMS.replace("%s", " ".join(ITEM_FIELDS)), **arguments)["creditMemos"]["nodes"]
    return [memo["items"]["nodes"] for memo in found]


@pytest.mark.parametrize("name", ITEM_FIELDS)
def test_items_are_filtered_and_sorted_by_each_field_of_the_reference(reader: Reader, name: str) -> None:
    every = items(reader)
    values = {item[name] for listed in every for item in listed}
    for value in sorted(values, key=repr)[:3]:
        wanted = [
            {item["id"] for item in listed if key_of(name, item[name]) == key_of(name, value)}
            if value is not None
            else {item["id"] for item in listed if item[name] is None}
            for listed in every
        ]
        assert [{item["id"] for item in found} for found in items(reader, filter={name: {"eq": value}})] == wanted
    for descending in (False, True):
        sort = [{"field": upper(name), "direction": "DESC" if descending else "ASC"}]
        found = items(reader, sort=sort)
        assert [[item["id"] for item in listed] for listed in found] == [
            in_order(listed, name, descending) for listed in every
        ]


def test_items_come_last_changed_first(reader: Reader) -> None:
    for listed in items(reader):
        assert [item["id"] for item in listed] == in_order(listed, "updatedDate", True)


@pytest.mark.parametrize(
    ("selection", "page", "most"),
    [
        ("creditMemos { nodes { items(first: %s) { nodes { id } } } }", 50, 250),
        ("creditMemos { nodes { parts(first: %s) { nodes { id } } } }", 50, 250),
        ("creditMemos { nodes { taxationItems(first: %s) { nodes { id } } } }", 50, 250),
        ("creditMemos { nodes { items { nodes { taxationItems(first: %s) { nodes { id } } } } } }", 50, 250),
        ("creditMemos { nodes { parts { nodes { itemParts(first: %s) { nodes { id } } } } } }", 50, 250),
        ("creditMemos { nodes { files(first: %s) { nodes { id } } } }", 20, 100),
        ("creditMemos { nodes { history(first: %s) { nodes { id } } } }", 20, 100),
        ("creditMemos(first: %s) { nodes { id } }", 20, 100),
        ("accounts { nodes { creditMemos(first: %s) { nodes { id } } } }", 20, 100),
    ],
)
def test_lists_have_the_page_sizes_of_the_contract(reader: Reader, selection: str, page: int, most: int) -> None:
    reader.ask(f"{{ {selection % most} }}")
    name = selection.split("(")[0].split()[-1]
    [field] = {
        argument.description
        for type_ in schema._schema.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for key, field in type_.fields.items()
        if key == name and type_.name in ("CreditMemo", "CreditMemoItem", "CreditMemoPart", "Query")
        for argument in [field.args["first"]]
    }

    assert field == f"The first so many rows; {page} unless said, at most {most}."
    if "items { nodes" not in selection and "parts { nodes" not in selection:
        assert f"between 0 and {most}" in reader.refused(
            f"{{ {selection % (most + 1)} }}".replace("nodes { id }", "totalCount")
        )


# --- all other lists --------------------------------------------------------------------------------------------------


def lists() -> Iterator[tuple[str, str]]:
    """Every list there is: the type that has it, and its name."""
    for type_ in schema._schema.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                if "filter" in field.args and "sort" in field.args:
                    yield type_.name, name


@pytest.fixture(scope="module")
def world(module_database_url: str, reader: Reader) -> Reader:
    rows = Rows()
    rows._counts.update(dict.fromkeys(("accounts", "invoices", "credit_memos", "credit_memo_items"), 1_000))
    an_account_with_everything(rows, memos=2)
    reader.save(rows)
    return reader


@pytest.mark.parametrize(("owner", "name"), sorted(lists()), ids=".".join)
def test_every_list_can_be_filtered_and_sorted_by_all_that_it_offers(world: Reader, owner: str, name: str) -> None:
    type_ = schema._schema.type_map[owner]
    assert isinstance(type_, GraphQLObjectType)
    arguments = type_.fields[name].args
    filters, sorts = (get_named_type(arguments[key].type) for key in ("filter", "sort"))
    assert isinstance(filters, GraphQLInputObjectType)
    assert isinstance(sorts, GraphQLInputObjectType)
    fields = sorted(set(filters.fields) - COMBINATIONS)
    asked: dict[str, Any] = {key: {"isNull": False} for key in fields}
    asked["or"] = [*({key: {"isNull": True}} for key in fields), {}]
    if "search" in filters.fields:
        asked["not"] = {"search": "nobody is called this"}
    terms = get_named_type(sorts.fields["field"].type)
    assert isinstance(terms, GraphQLEnumType)
    sort = [{"field": value, "direction": "DESC"} for value in terms.values]
    listed = "totalCount nodes { id } edges { cursor } pageInfo { hasNextPage }"
    variables = f"$filter: {filters.name}, $sort: [{sorts.name}!]"
    if owner == "Query":
        query = f"query({variables}) {{ {name}(filter: $filter, sort: $sort) {{ {listed} }} }}"
    else:
        kind = next(kind for kind in PREFIXES.values() if kind.name == owner)
        inner = f"... on {owner} {{ {name}(filter: $filter, sort: $sort) {{ {listed} }} }}"
        query = f'query({variables}) {{ node(id: "{kind.prefix}_{1001:032x}") {{ {inner} }} }}'

    assert world.ask(query, filter=asked, sort=sort)
    for term in sort:
        assert world.ask(query, filter={}, sort=[term])


# --- totals -----------------------------------------------------------------------------------------------------------

SUMMARY = """
query($filter: CreditMemoFilter, $groupBy: [CreditMemoGrouping!]) {
  creditMemoSummary(filter: $filter, groupBy: $groupBy) {
    key { currency status accountId reasonCode month account { id } }
    count amount taxAmount appliedAmount unappliedAmount refundAmount
  }
}
"""
GROUPS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "CURRENCY": ("currency", lambda memo: memo["currency"]),
    "STATUS": ("status", lambda memo: memo["status"]),
    "ACCOUNT": ("accountId", lambda memo: memo["accountId"]),
    "REASON_CODE": ("reasonCode", lambda memo: memo["reasonCode"]),
    "MONTH": ("month", lambda memo: memo["creditMemoDate"][:7]),
}


@pytest.mark.parametrize(
    "group_by",
    [
        None,
        [],
        ["CURRENCY"],
        ["STATUS"],
        ["ACCOUNT"],
        ["REASON_CODE"],
        ["MONTH"],
        ["MONTH", "STATUS", "ACCOUNT", "REASON_CODE", "CURRENCY"],
        ["STATUS", "STATUS"],
    ],
)
def test_totals_are_those_of_the_memos_of_each_group(
    reader: Reader, memos: list[dict[str, Any]], group_by: list[str] | None
) -> None:
    names = list(dict.fromkeys(["CURRENCY", *(group_by or ())]))
    amounts = ("amount", "taxAmount", "appliedAmount", "unappliedAmount", "refundAmount")
    counts: Counter[tuple[Any, ...]] = Counter()
    sums: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    chosen = {memo["id"] for memo in memos}
    for memo in memos:
        key = tuple(GROUPS[name][1](memo) for name in names)
        counts[key] += 1
        for amount in amounts:
            sums[key, amount] += Decimal(memo[amount])

    found = reader.ask(SUMMARY, groupBy=group_by, filter={"accountNumber": {"startsWith": "a-"}})["creditMemoSummary"]

    assert sum(group["count"] for group in found) == len(chosen)
    keys = [tuple(group["key"][GROUPS[name][0]] for name in names) for group in found]
    assert dict(zip(keys, (group["count"] for group in found), strict=True)) == counts
    for key, group in zip(keys, found, strict=True):
        for amount in amounts:
            assert Decimal(group[amount]) == sums[key, amount]
            decimals = {"USD": 2, "JPY": 0, "KWD": 3}[group["key"]["currency"]]
            assert len(group[amount].partition(".")[2]) == decimals
        assert (group["key"]["account"] is None) is (group["key"]["accountId"] is None)
    assert keys == sorted(keys, key=lambda key: [(value is None, value or "") for value in key])


def test_totals_are_of_the_memos_that_a_filter_finds(reader: Reader, memos: list[dict[str, Any]]) -> None:
    found = reader.ask(SUMMARY, filter={"status": {"eq": "DRAFT"}, "currency": {"in": ["USD", "JPY"]}})

    wanted = Counter(memo["currency"] for memo in memos if memo["status"] == "DRAFT" and memo["currency"] != "KWD")
    assert {group["key"]["currency"]: group["count"] for group in found["creditMemoSummary"]} == wanted
    assert reader.ask(SUMMARY, filter={"or": []})["creditMemoSummary"] == []


def test_totals_of_the_largest_amounts_are_exact(database_url: str) -> None:
    rows = Rows()
    account = rows.account()
    for _ in range(150):
        rows.memo(account, 10**17 - 1, currency="CLF")
    with reading(database_url) as reader:
        reader.save(rows)
        found = reader.ask(SUMMARY)["creditMemoSummary"]

    assert found[0]["amount"] == found[0]["unappliedAmount"] == "1499999999999999.9850"


def test_a_summary_has_only_so_many_groups(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MOST_GROUPS", 3)

    answer = reader.post(SUMMARY, {"groupBy": ["MONTH"]}).json()

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIMIT_EXCEEDED"]
    assert len(reader.ask(SUMMARY)["creditMemoSummary"]) == 3


def test_the_oldest_and_the_youngest_date_have_a_month(database_url: str) -> None:
    rows = Rows()
    account = rows.account()
    for day in (date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29)):
        rows.memo(account, credit_memo_date=day)
    with reading(database_url) as reader:
        reader.save(rows)
        found = reader.ask(SUMMARY, groupBy=["MONTH"])["creditMemoSummary"]

    assert [group["key"]["month"] for group in found] == ["0001-01", "2024-02", "9999-12"]
