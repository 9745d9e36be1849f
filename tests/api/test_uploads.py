"""Files over HTTP: multipart requests by their specification, hostile ones refused, and files answered safely."""

import json
import re
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import httpx
import pytest
import strawberry
from starlette.requests import HTTPConnection
from strawberry.schema.config import StrawberryConfig

from cm_graphql.api import uploads
from cm_graphql.api.http import GraphQLOverHTTP
from cm_graphql.api.limits import Limits
from cm_graphql.api.links import Links
from cm_graphql.api.uploads import UPLOAD, Upload
from cm_graphql.domain.commands.base import UploadedFile
from cm_graphql.operations.viewer import STANDARD
from cm_graphql.outside.pdf import TypstPrinter
from in_process import a_key, served
from papers import AT, a_paper
from small_server import Context, codes

GUARD = {"graphql-require-preflight": "1"}
QUERY = "mutation ($file: Upload, $files: [Upload!], $in: In) { take(file: $file, files: $files, in: $in) }"


@strawberry.input
class In:
    file: Upload | None = None


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "hello"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def take(
        self,
        file: Upload | None = None,
        files: list[Upload] | None = None,
        inside: Annotated[In | None, strawberry.argument(name="in")] = None,
    ) -> list[str]:
        taken = [file, *(files or []), inside and inside.file]
        found: list[Any] = [one for one in taken if one is not None]
        assert all(isinstance(one, UploadedFile) for one in found)
        return [f"{one.name}:{one.size}:{len(one.content)}" for one in found]


schema = strawberry.Schema(Query, Mutation, config=StrawberryConfig(scalar_map={Upload: UPLOAD}))


async def make_context(_request: HTTPConnection, _request_id: str) -> Context:
    return Context()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    endpoint = GraphQLOverHTTP(schema._schema, make_context, limits=Limits(body_bytes=9_000_000))
    transport = httpx.ASGITransport(endpoint)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as opened:
        yield opened


def form(
    variables: Any, places: Any, *files: tuple[str, bytes], query: str = QUERY, name: str = "x.pdf"
) -> dict[str, Any]:
    """A request of these parts; `operations` and `map` are JSON unless they are bytes."""
    operations = {"query": query, "variables": variables}
    return {
        "files": [
            ("operations", (None, json.dumps(operations))),
            ("map", (None, places if isinstance(places, bytes) else json.dumps(places))),
            *((field, (name, content)) for field, content in files),
        ],
        "headers": GUARD,
    }


# --- the specification ------------------------------------------------------------------------------------------------


async def test_one_file_a_list_of_files_and_a_file_within_an_input_arrive(client: httpx.AsyncClient) -> None:
    for variables, places, expected in (
        ({"file": None}, {"0": ["variables.file"]}, ["x.pdf:3:3"]),
        ({"files": [None, None]}, {"0": ["variables.files.0"], "1": ["variables.files.1"]}, ["x.pdf:3:3", "x.pdf:2:2"]),
        ({"in": {"file": None}}, {"0": ["variables.in.file"]}, ["x.pdf:3:3"]),
        ({"file": None, "in": {"file": None}}, {"0": ["variables.file", "variables.in.file"]}, ["x.pdf:3:3"] * 2),
    ):
        sent = [(key, b"abc"[: 3 - int(key)]) for key in places]
        answer = await client.post("/graphql", **form(variables, places, *sent))
        assert answer.json() == {"data": {"take": expected}}


async def test_a_form_can_go_without_files(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", **form({}, {}, query="{ hello }"))

    assert answer.json() == {"data": {"hello": "hello"}}


async def test_without_a_header_that_browsers_ask_about_nothing_is_done(client: httpx.AsyncClient) -> None:
    request = form({"file": None}, {"0": ["variables.file"]}, ("0", b"abc"))
    refused = await client.post("/graphql", files=request["files"])

    assert refused.status_code == 400
    assert "graphql-require-preflight" in refused.json()["errors"][0]["message"]
    basic = await client.post("/graphql", files=request["files"], headers={"authorization": "Basic eDp5"})
    assert basic.status_code == 400, "browsers send that of themselves"
    for name, value in [*((name, "x") for name in uploads.GUARDS), ("authorization", "Bearer x")]:
        assert (await client.post("/graphql", files=request["files"], headers={name: value})).status_code == 200


@pytest.mark.parametrize(
    ("variables", "places"),
    [
        ({"file": None}, b"no json"),
        ({"file": None}, b"[" * 100_000),
        ({"file": None}, []),
        ({"file": None}, None),
        ({"file": None}, {"0": "variables.file"}),
        ({"file": None}, {"0": []}),
        ({"file": None}, {"0": [1]}),
        ({"file": None}, {}),
        ({"file": None}, {"1": ["variables.file"]}),
        ({"file": None}, {"0": ["variables.file"], "1": ["variables.file"]}),
        ({"file": None}, {"0": ["variables"]}),
        ({"file": None}, {"0": ["query"]}),
        ({"file": None}, {"0": [""]}),
        ({"file": None}, {"0": ["variables.none"]}),
        ({"file": None}, {"0": ["variables.file.deeper"]}),
        ({"file": None}, {"0": ["variables.file", "variables.file"]}),
        ({"file": "taken"}, {"0": ["variables.file"]}),
        ({"files": [None]}, {"0": ["variables.files.1"]}),
        ({"files": [None]}, {"0": ["variables.files.-1"]}),
        ({"files": [None]}, {"0": ["variables.files.\N{SUPERSCRIPT TWO}"]}),
        ({"files": [None]}, {"0": ["variables.files.__class__"]}),
        ({"files": [None]}, {"0": ["variables.files.99999999999999999999"]}),
        ({"files": [None]}, {"0": ["variables.files"]}),
        (None, {"0": ["variables.file"]}),
        ([None], {"0": ["variables.0"]}),
        ({"file": None}, {"0": ["variables." + "a." * 50 + "b"]}),
        ({"files": [None] * 30}, {"0": [f"variables.files.{n}" for n in range(30)]}),
    ],
)
async def test_a_map_that_does_not_fit_is_the_clients_fault(
    client: httpx.AsyncClient, variables: Any, places: Any
) -> None:
    answer = await client.post("/graphql", **form(variables, places, ("0", b"abc")))

    assert answer.status_code == 400
    assert codes(answer)[0] in ("BAD_USER_INPUT", "LIMIT_EXCEEDED")


PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b""),
        ("multipart/form-data; boundary=" + "b" * 71, b""),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", PART % (b"operations", b'{"query":"{hello}"}')),
        ("multipart/form-data; boundary=b", PART % (b"operations", b"{}") + PART % (b"map", b"{}")),
        ("multipart/form-data; boundary=b", PART % (b"map", b"{}") + PART % (b"operations", b"{}") + b"--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            PART % (b"operations", b"[]") + PART % (b"map", b"{}") + b"--b--\r\n",
        ),
        (
            "multipart/form-data; boundary=b",
            (PART % (b"operations", b"{}")) * 2 + PART % (b"map", b"{}") + b"--b--\r\n",
        ),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n{}\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"x" * 20_000 + b"\r\n\r\n{}\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: x\r\n" * 20_000 + b"\r\n{}\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", (PART % (b"operations", b" " * 2_000_000)) + b"--b--\r\n"),
        ("multipart/form-data; boundary=b", (PART % (b"a", b"")) * 10_000 + b"--b--\r\n"),
    ],
)
async def test_a_form_that_is_none_is_the_clients_fault(
    client: httpx.AsyncClient, content_type: str, body: bytes
) -> None:
    answer = await client.post("/graphql", content=body, headers={"content-type": content_type, **GUARD})

    assert answer.status_code == 400


async def test_a_file_that_is_too_large_is_counted_and_not_kept(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", **form({"file": None}, {"0": ["variables.file"]}, ("0", b"x" * 6_000_000)))
    (told,) = answer.json()["data"]["take"]

    assert told.startswith("x.pdf:6000000:")
    assert int(told.rpartition(":")[2]) < 1_000_000


async def test_a_body_that_is_too_large_is_cut_off(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", **form({"file": None}, {"0": ["variables.file"]}, ("0", b"x" * 10_000_000)))

    assert answer.status_code == 413


@pytest.mark.parametrize("value", ["x", 1, {}, {"name": "x", "content": "y", "size": 1}])
async def test_a_file_comes_with_a_form_or_not_at_all(client: httpx.AsyncClient, value: Any) -> None:
    answer = await client.post("/graphql", json={"query": QUERY, "variables": {"file": value}})

    assert codes(answer) == ["BAD_USER_INPUT"]
    literal = await client.post("/graphql", json={"query": 'mutation { take(file: "x") }'})
    assert "Upload" in literal.json()["errors"][0]["message"]


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_works_for_its_file_until_it_ends() -> None:
    links, file_id = Links(seconds=300), "cmf_" + "1" * 32
    expires, signature = re.findall(r"expires=(\d+)&signature=([0-9a-f]+)", links.url(file_id, 1_000.5))[0]

    assert expires == "1300"
    assert links.accepts(file_id, expires, signature, 1_299)
    assert not links.accepts(file_id, expires, signature, 1_300)
    assert not links.accepts(file_id, "1301", signature, 1_000)
    assert not links.accepts("cmf_" + "2" * 32, expires, signature, 1_000)
    assert not Links().accepts(file_id, expires, signature, 1_000)
    for odd in ("", "-1", "1e9", "\N{SUPERSCRIPT TWO}", "9" * 500):
        assert not links.accepts(file_id, odd, signature, 1_000)
    assert not links.accepts(file_id, expires, "\xff" * 64, 1_000)


# --- the whole server -------------------------------------------------------------------------------------------------


def printed() -> bytes:
    return TypstPrinter(system_fonts=False).print(a_paper(), AT)


CREATE = """mutation {
  syncAccounts(input: {accounts: [{number: "A-1", name: "Acme", currency: "USD"}]}) { results { userErrors { code } } }
  syncProductRatePlanCharges(input: {productRatePlanCharges: [{id: "chg_11111111111111111111111111111111",
    name: "Seats", chargeModel: FLAT_FEE, chargeType: ONE_TIME, prices: [{currency: "USD", price: 1}]}]}) {
    results { userErrors { code } } }
  createCreditMemoFromCharges(input: {accountKey: "A-1", charges: [
    {productRatePlanChargeId: "chg_11111111111111111111111111111111", amount: 10}]}) { creditMemo { id } }
}"""

UPLOAD_FILE = """mutation ($input: UploadCreditMemoFileInput!) { uploadCreditMemoFile(input: $input) {
  userErrors { code field } file { id size fileName downloadUrl pdfFileUrl } creditMemo { latestPdfFile { id } } } }"""


async def test_an_upload_is_answered_with_links_that_work(database_url: str, tmp_path: Path) -> None:
    content = printed()
    async with served(database_url, tmp_path) as client:
        memo = (await client.post("/graphql", json={"query": CREATE})).json()
        key = memo["data"]["createCreditMemoFromCharges"]["creditMemo"]["id"]
        request = form(
            {"input": {"key": key, "file": None}},
            {"0": ["variables.input.file"]},
            ("0", content),
            query=UPLOAD_FILE,
            name='Scan "ü".pdf',
        )
        answered = (await client.post("/graphql", **request)).json()["data"]["uploadCreditMemoFile"]
        file = answered["file"]
        assert answered["userErrors"] == []
        assert answered["creditMemo"]["latestPdfFile"]["id"] == file["id"]

        for url in (file["downloadUrl"], file["pdfFileUrl"]):
            got, head = await client.get(url), await client.head(url)
            assert got.status_code == head.status_code == 200
            assert got.content == content
            assert head.content == b""
            for answer in (got, head):
                assert answer.headers["content-type"] == "application/pdf"
                assert answer.headers["content-length"] == str(len(content))
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["content-disposition"].startswith("attachment; ")
                assert "filename*=UTF-8''Scan%20" in answer.headers["content-disposition"]
                assert "sandbox" in answer.headers["content-security-policy"]
                assert answer.headers["cache-control"] == "private, no-store"

        for url, status in (
            (file["downloadUrl"][:-1], 403),
            (file["downloadUrl"].replace("expires=", "expires=9"), 403),
            (file["pdfFileUrl"] + "?signature=&expires=", 403),
            ("/files/cmf_" + "0" * 32, 404),
            ("/files/none", 404),
            ("/files/..%2F..%2Ftest.db", 404),
        ):
            assert (await client.get(url)).status_code == status, url
        assert (await client.post(file["pdfFileUrl"])).status_code == 405

        request["files"][2] = ("0", ("x.pdf", b"GIF89a"))
        refused = (await client.post("/graphql", **request)).json()["data"]["uploadCreditMemoFile"]
        assert refused["userErrors"] == [{"code": "FILE_NOT_PDF", "field": ["file"]}]


async def memo_of(client: httpx.AsyncClient, **headers: str) -> str:
    """A draft, by its id."""
    answer = (await client.post("/graphql", json={"query": CREATE}, headers=headers)).json()
    key: str = answer["data"]["createCreditMemoFromCharges"]["creditMemo"]["id"]
    return key


async def uploaded(
    client: httpx.AsyncClient, key: str, content: bytes, name: str = "x.pdf", **headers: str
) -> dict[str, Any]:
    """The file of a memo that was added, as GraphQL shows it."""
    variables = {"input": {"key": key, "file": None}}
    request = form(variables, {"0": ["variables.input.file"]}, ("0", content), query=UPLOAD_FILE, name=name)
    request["headers"] = {**request["headers"], **headers}
    told = (await client.post("/graphql", **request)).json()
    assert "errors" not in told, told
    answer = told["data"]["uploadCreditMemoFile"]
    assert answer["userErrors"] == []
    file: dict[str, Any] = answer["file"]
    return file


NAMES = {
    "../../etc/passwd.pdf": "passwd.pdf",
    "C:\\Windows\\win.pdf": "win.pdf",
    "..": "credit-memo.pdf",
    "a\u202efdp.exe.pdf": "afdp.exe.pdf",
    "a\u2066\u200bb.pdf": "ab.pdf",
    "請求書 №5 ü.pdf": "請求書 №5 ü.pdf",
    "a; filename=evil.exe;.pdf": "a; filename=evil.exe;.pdf",
    "x" * 500 + ".pdf": "x" * 146 + ".pdf",
}


async def test_names_of_files_say_nothing_but_a_name(database_url: str, tmp_path: Path) -> None:
    content = printed()
    async with served(database_url, tmp_path) as client:
        key = await memo_of(client)
        for given, kept in NAMES.items():
            header = (await client.get((await uploaded(client, key, content, given))["downloadUrl"])).headers[
                "content-disposition"
            ]
            found = Message()
            found["content-disposition"] = header
            assert header.isascii()
            assert found.get_content_disposition() == "attachment"
            assert unquote(header.partition("filename*=UTF-8''")[2]) == kept


OTHER_ACCOUNT = """mutation {
  syncAccounts(input: {accounts: [{number: "A-2", name: "B", currency: "USD"}]}) { results { userErrors { code } } }
}"""


async def test_files_are_for_those_who_may_read_their_memo_and_others_are_told_how_to_ask(
    database_url: str, tmp_path: Path
) -> None:
    async with served(database_url, tmp_path, auth="keys") as client:

        async def key(*scopes: str, **options: Any) -> dict[str, str]:
            return (await a_key(database_url, *scopes, **options))[1]

        clerk = await key(*STANDARD)
        file = await uploaded(client, await memo_of(client, **clerk), printed(), **clerk)
        await client.post("/graphql", json={"query": OTHER_ACCOUNT}, headers=clerk)
        cases = [
            ({}, 401),
            ({"authorization": "Bearer made-up"}, 401),
            (await key("settings:read"), 403),
            (await key("credit_memos:read", accounts=["A-2"]), 404),
            (await key("credit_memos:read", accounts=["A-1"]), 200),
            (await key("credit_memos:read"), 200),
        ]
        for headers, status in cases:
            for method in ("GET", "HEAD"):
                answer = await client.request(method, file["pdfFileUrl"], headers=headers)
                assert answer.status_code == status
                assert ("www-authenticate" in answer.headers) == (status == 401)
                assert answer.headers["cache-control"] == "private, no-store"
                assert answer.headers["x-content-type-options"] == "nosniff"
        unknown = await client.get("/files/cmf_" + "0" * 32)
        assert unknown.status_code == 401, "strangers are not told which files there are"
        assert (await client.get(file["downloadUrl"])).status_code == 200, "a link is enough by itself"


async def test_downloads_count_like_other_requests(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, auth="keys", rate_limit="2/minute") as client:
        _, reader = await a_key(database_url, "credit_memos:read")

        answers = [await client.get("/files/cmf_" + "0" * 32, headers=reader) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [404, 404, 429]
    assert int(answers[2].headers["retry-after"]) > 0


async def test_documents_of_others_accounts_are_like_those_that_nobody_has(database_url: str, tmp_path: Path) -> None:
    async with served(database_url, tmp_path, auth="keys") as client:
        _, clerk = await a_key(database_url, *STANDARD)
        key = await memo_of(client, **clerk)
        file = await uploaded(client, key, printed(), **clerk)
        await client.post("/graphql", json={"query": OTHER_ACCOUNT}, headers=clerk)
        _, other = await a_key(database_url, *STANDARD, accounts=["A-2"])
        unknown, unknown_file = f"cm_{7:032x}", f"cmf_{7:032x}"

        async def told(query: str, memo: str, file_id: str) -> str:
            text = query.replace("$MEMO", memo).replace("$FILE", file_id)
            answer = await client.post("/graphql", json={"query": text}, headers=other)
            return answer.text.replace(memo, "MEMO").replace(file_id, "FILE")

        async def told_of_upload(memo: str) -> str:
            request = form(
                {"input": {"key": memo, "file": None}},
                {"0": ["variables.input.file"]},
                ("0", printed()),
                query=UPLOAD_FILE,
            )
            request["headers"] = {**request["headers"], **other}
            return (await client.post("/graphql", **request)).text.replace(memo, "MEMO")

        for query in (
            'mutation { emailCreditMemo(input: {key: "$MEMO"}) { job { id } userErrors { code message field } } }',
            'mutation { generateCreditMemoPdf(input: {key: "$MEMO"}) { userErrors { code message field } } }',
            '{ creditMemo(key: "$MEMO") { files { nodes { downloadUrl } } } }',
            '{ creditMemoPdfStatuses(keys: ["$MEMO"]) { pdfGenerationStatus } }',
            '{ node(id: "$FILE") { id ... on CreditMemoFile { downloadUrl } } }',
        ):
            answer = await told(query, key, file["id"])
            assert answer == await told(query, unknown, unknown_file), query
            assert "/files/" not in answer
            assert "NOT_FOUND" in answer or not query.startswith("mutation"), answer
        assert "NOT_FOUND" in await told_of_upload(key)
        assert await told_of_upload(key) == await told_of_upload(unknown)

        for url in (file["pdfFileUrl"], f"/files/{unknown_file}"):
            answers = [await client.request(method, url, headers=other) for method in ("GET", "HEAD")]
            assert [answer.status_code for answer in answers] == [404, 404]
        signature = file["downloadUrl"].partition("?")[2]
        assert (await client.get(f"/files/{unknown_file}?{signature}", headers=other)).status_code == 403
        left = await client.post(
            "/graphql",
            json={"query": f'{{ creditMemo(key: "{key}") {{ files {{ totalCount }} jobs {{ totalCount }} }} }}'},
            headers=clerk,
        )
        assert left.json()["data"]["creditMemo"] == {"files": {"totalCount": 1}, "jobs": {"totalCount": 0}}
