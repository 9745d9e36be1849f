"""Documents in a real server that is killed at the worst moments: nothing is lost, told twice, or left lying about."""

import asyncio
import email
import email.policy
import io
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.smtp import SMTP
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import ThreadedMotoServer
from pypdf import PdfReader
from werkzeug.serving import make_server

from cm_graphql.operations import documents
from cm_graphql.operations.document_ports import DocumentPorts
from cm_graphql.operations.gate import Gate
from cm_graphql.operations.ports import SystemClock
from cm_graphql.outside.files import ObjectFiles
from cm_graphql.outside.judging import ProcessJudge
from cm_graphql.outside.mail import FolderMailer
from cm_graphql.outside.pdf import TypstPrinter
from cm_graphql.store.database import Database
from papers import AT, a_paper
from postgres import free_port
from programs import Program
from servers import started

CREATE = """mutation {
  syncAccounts(input: {accounts: [{number: "A-1", name: "Acme", currency: "USD",
    billToContact: {workEmail: "ada@acme.example"}}]}) { results { userErrors { code } } }
  syncProductRatePlanCharges(input: {productRatePlanCharges: [{id: "chg_11111111111111111111111111111111",
    name: "Seats", chargeModel: FLAT_FEE, chargeType: ONE_TIME, prices: [{currency: "USD", price: 1}]}]}) {
    results { userErrors { code } } }
  createCreditMemoFromCharges(input: {accountKey: "A-1", autoPost: true, charges: [
    {productRatePlanChargeId: "chg_11111111111111111111111111111111", amount: 10}]}) { userErrors { code } }
}"""
GENERATE = 'mutation { generateCreditMemoPdf(input: {key: "CM00000001"}) { job { id } userErrors { code } } }'
MAIL = 'mutation { emailCreditMemo(input: {key: "CM00000001"}) { job { id } userErrors { code } } }'
UPLOAD = """mutation ($file: Upload!) { uploadCreditMemoFile(input: {key: "CM00000001", file: $file}) {
  file { fileName } userErrors { code } } }"""
LOOK = """{ creditMemo(key: "CM00000001") {
  jobs { nodes { status error } } pdfStatus { pdfGenerationStatus }
  files { nodes { fileName size downloadUrl } } history { nodes { action note } } } }"""


class Victim:
    """A server that can be killed, and started again upon the same database and the same files."""

    def __init__(self, database_url: str, directory: Path, **environment: str) -> None:
        self._url, self._directory, self._port = database_url, directory, free_port()
        self._environment = {"CM_GRAPHQL_JOB_LEASE": "2", "CM_GRAPHQL_JOB_POLL": "0.2", **environment}
        self._process: Program | None = None

    def start(self, **more: str) -> None:
        self._process = started(self._url, self._directory, self._port, **self._environment, **more)

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it as kill -9 does; it has no say in that, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30, trust_env=False)

    def ask(self, query: str) -> Any:
        with self.client as client:
            answer = client.post("/graphql", json={"query": query}).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def upload(self, content: bytes) -> Any:
        operations = {"query": UPLOAD, "variables": {"file": None}}
        files: Any = {
            "operations": (None, json.dumps(operations)),
            "map": (None, '{"0": ["variables.file"]}'),
            "0": ("scan.pdf", content),
        }
        with self.client as client:
            return client.post("/graphql", files=files, headers={"graphql-require-preflight": "1"}).json()

    async def memo(self, done: Callable[[Any], bool]) -> Any:
        """The memo, as soon as it is as somebody waits for."""
        async with asyncio.timeout(60):
            while not done(memo := (await asyncio.to_thread(self.ask, LOOK))["creditMemo"]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return memo


def has_ended(memo: Any) -> bool:
    return memo["jobs"]["nodes"][0]["status"] not in ("PENDING", "PROCESSING")


def is_at_work(memo: Any) -> bool:
    return bool(memo["jobs"]["nodes"][0]["status"] == "PROCESSING")


@contextmanager
def a_victim(database_url: str, directory: Path, **environment: str) -> Iterator[Victim]:
    victim = Victim(database_url, directory, **environment)
    victim.start()
    try:
        assert victim.ask(CREATE)["createCreditMemoFromCharges"]["userErrors"] == []
        yield victim
    finally:
        victim.kill()


# --- mail -------------------------------------------------------------------------------------------------------------


class Mailbox:
    """A mail server that takes everything; the first time, whoever sent it does not live to hear so."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.port = 0
        self.at_first: Callable[[], None] = lambda: None

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.taken.append(envelope.content)
        if len(self.taken) == 1:
            self.at_first()
        return "250 taken"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    mailbox = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox, hostname="mx"), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    yield mailbox
    server.close()


async def test_killed_between_the_mail_servers_yes_and_our_record_a_mail_is_sent_again_under_its_id_and_told_once(
    database_url: str, tmp_path: Path, mailbox: Mailbox
) -> None:
    environment = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mailbox.port), "SMTP_TLS": "none"}
    given = {f"CM_GRAPHQL_{name}": value for name, value in environment.items()}
    with a_victim(database_url, tmp_path, **given) as victim:
        victim.ask("mutation { updateSettings(input: {emailAttachPdf: false}) { userErrors { code } } }")
        # Frozen, it cannot write down the yes that reaches it; then it dies.
        mailbox.at_first = victim.freeze
        assert victim.ask(MAIL)["emailCreditMemo"]["userErrors"] == []
        async with asyncio.timeout(30):
            while not mailbox.taken:  # noqa: ASYNC110 - a mailbox tells nobody
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        victim.kill()

        await asyncio.to_thread(victim.start)
        memo = await victim.memo(has_ended)

    assert memo["jobs"]["nodes"] == [{"status": "PROCESSED", "error": None}]
    assert len(mailbox.taken) == 2
    first, second = (email.message_from_bytes(content, policy=email.policy.default) for content in mailbox.taken)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    told = [event["note"] for event in memo["history"]["nodes"] if event["action"] == "EMAILED"]
    assert told == ["to ada@acme.example"]


@pytest.mark.soak
async def test_a_mail_server_that_is_down_for_a_while_gets_the_mail_when_it_is_back(
    database_url: str, tmp_path: Path, mailbox: Mailbox
) -> None:
    """Real time passes between the attempts: half a minute."""
    port = free_port()
    environment = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_TLS": "none"}
    given = {f"CM_GRAPHQL_{name}": value for name, value in environment.items()}
    with a_victim(database_url, tmp_path, **given) as victim:
        victim.ask("mutation { updateSettings(input: {emailAttachPdf: false}) { userErrors { code } } }")
        victim.ask(MAIL)
        async with asyncio.timeout(30):
            while b"job_given_back" not in (tmp_path / "server.log").read_bytes():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await victim.memo(bool))["jobs"]["nodes"][0]["status"] == "PENDING"

        server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox, hostname="mx"), "127.0.0.1", port)
        memo = await victim.memo(has_ended)
        server.close()

    assert memo["jobs"]["nodes"][0]["status"] == "PROCESSED"
    assert len(mailbox.taken) == 1


# --- files ------------------------------------------------------------------------------------------------------------


class Bucket(ThreadedMotoServer):
    """A real S3 server; the first time that it has stored a file, whoever sent it does not live to hear so."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", free_port(), verbose=False)
        self.name = f"memos-{self._port}"  # buckets outlive servers of one process
        self.at_first: Callable[[], None] | None = None

    def _server_entry(self) -> None:
        app = DomainDispatcherApplication(create_backend_app)

        def answer(environ: Any, start_response: Any) -> Any:
            answered = list(app(environ, start_response))
            if environ["REQUEST_METHOD"] == "PUT" and "credit-memos" in environ["PATH_INFO"] and self.at_first:
                happen, self.at_first = self.at_first, None
                happen()
            return answered

        self._server = make_server("127.0.0.1", self._port, answer, True)
        self._server_ready_event.set()
        self._server.serve_forever()

    @property
    def options(self) -> dict[str, str]:
        return {
            "aws_endpoint": f"http://127.0.0.1:{self._port}",
            "aws_region": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }

    @property
    def files(self) -> ObjectFiles:
        return ObjectFiles.at(f"s3://{self.name}", self.options)

    async def keys(self) -> list[str]:
        return [found.key async for portion in self.files.all() for found in portion]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    bucket.start()
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260315/us-east-1/s3/x"}
    httpx.put(f"{bucket.options['aws_endpoint']}/{bucket.name}", headers=signed)
    yield bucket
    bucket.stop()


async def collected(database_url: str, bucket: Bucket, tmp_path: Path) -> int:
    """How many orphans are found and removed, were they old enough."""
    database = Database.open(database_url)
    ports = DocumentPorts(
        printer=TypstPrinter(),
        judge=ProcessJudge(),
        files=bucket.files,
        mailer=FolderMailer(folder=tmp_path, sender="billing@localhost"),
    )
    try:
        gate = Gate(database, SystemClock(), documents=ports)
        return await documents.collect_orphans(gate, timedelta(seconds=-60))
    finally:
        await database.dispose()


async def test_killed_with_the_object_stored_and_no_row_a_pdf_ends_as_one_file_and_an_upload_as_an_orphan(
    database_url: str, tmp_path: Path, bucket: Bucket
) -> None:
    files = {"CM_GRAPHQL_FILES_URL": f"s3://{bucket.name}", "CM_GRAPHQL_FILES_OPTIONS": json.dumps(bucket.options)}
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "credit-memo.typ").write_text("#for outer in range(1000000) { for inner in range(1000) { let n = inner } }")
    with a_victim(database_url, tmp_path, **files) as victim:
        bucket.at_first = victim.kill
        victim.ask(GENERATE)
        async with asyncio.timeout(30):
            while bucket.at_first is not None:  # noqa: ASYNC110 - a bucket tells nobody
                await asyncio.sleep(0.02)
        stored = await bucket.keys()
        assert len(stored) == 1

        await asyncio.to_thread(victim.start)
        memo = await victim.memo(has_ended)
        assert memo["jobs"]["nodes"][0]["status"] == "PROCESSED"
        assert [file["fileName"] for file in memo["files"]["nodes"]] == ["CM00000001.pdf"]
        assert await bucket.keys() == stored, "the second attempt made the same bytes, which lie under the same key"
        with victim.client as client:
            content = client.get(memo["files"]["nodes"][0]["downloadUrl"]).content
        assert "CM00000001" in PdfReader(io.BytesIO(content)).pages[0].extract_text()

        bucket.at_first = victim.kill
        with pytest.raises(httpx.TransportError):
            await asyncio.to_thread(victim.upload, TypstPrinter().print(a_paper(), AT))
        assert len(await bucket.keys()) == 2
        assert await collected(database_url, bucket, tmp_path) == 1
        assert await bucket.keys() == stored

        await asyncio.to_thread(victim.start, CM_GRAPHQL_TEMPLATE_FOLDER=str(slow))
        victim.ask(GENERATE)
        await victim.memo(is_at_work)
        victim.kill()

        await asyncio.to_thread(victim.start)
        memo = await victim.memo(has_ended)
        assert memo["jobs"]["nodes"][0]["status"] == "PROCESSED"
        assert memo["pdfStatus"]["pdfGenerationStatus"] == "GENERATED"
        assert len(memo["files"]["nodes"]) == len(await bucket.keys()) == 2
        assert await collected(database_url, bucket, tmp_path) == 0
