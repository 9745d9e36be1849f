"""Mail through a real SMTP server and into a folder, read back as mail programs do."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cm_graphql.domain.letters import Letter
from cm_graphql.operations.document_ports import Mail, MailDelayed, MailRefused, Sent
from cm_graphql.outside.mail import FolderMailer, SmtpMailer, message

MAIL = Mail(
    message_id="<cmj_1@billing.example>",
    date=datetime(2026, 3, 15, 12, tzinfo=UTC),
    recipients=("ada@acme.example", "bob@acme.example"),
    letter=Letter(subject="Credit memo CM00000001", text="Dear Ada\n", html="<p>Dear Ada</p>\n"),
    attachment=("CM00000001.pdf", b"%PDF-1.7 content"),
)


def parse(content: bytes) -> EmailMessage:
    found = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


@dataclass
class Mailbox:
    """A mail server's way of answering, and what it took."""

    port: int = 0
    refuse: dict[str, str] = field(default_factory=dict)
    answer: str = "250 OK"
    taken: list[tuple[list[str], bytes]] = field(default_factory=list)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.answer.startswith("2"):
            self.taken.append((list(envelope.rcpt_tos), envelope.content))
        return self.answer


@asynccontextmanager
async def serving(mailbox: Mailbox, *, implicit: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[None]:
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(mailbox, hostname="localhost", **options), "127.0.0.1", 0, ssl=implicit
    )
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


def mailer(mailbox: Mailbox, **fields: Any) -> SmtpMailer:
    given = {"tls": "none", "timeout": 5.0, **fields}
    return SmtpMailer(host="127.0.0.1", port=mailbox.port, sender="billing@billing.example", **given)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, False, False, False), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def server_side(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


# --- what a mail is ---------------------------------------------------------------------------------------------------


def test_a_mail_has_text_html_and_the_pdf_under_a_fixed_id() -> None:
    found = parse(message(MAIL, "billing@billing.example", "Nimbus, Inc.").as_bytes())

    assert found["Message-ID"] == "<cmj_1@billing.example>"
    assert found["Date"].datetime == MAIL.date
    assert found["To"].addresses[1].addr_spec == "bob@acme.example"
    assert found["From"].addresses[0].display_name == "Nimbus, Inc."
    text, html = found.get_body(("plain",)), found.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().rstrip() == "Dear Ada"
    assert html.get_content().rstrip() == "<p>Dear Ada</p>"
    (attached,) = found.iter_attachments()
    assert attached.get_filename() == "CM00000001.pdf"
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content() == b"%PDF-1.7 content"


@pytest.mark.parametrize(
    "mail",
    [
        replace(MAIL, letter=replace(MAIL.letter, subject="x\r\nBcc: eve@evil.example")),
        replace(MAIL, recipients=("a@b.example\r\nBcc: eve@evil.example",)),
        replace(MAIL, recipients=("a@b.example, eve@evil.example",)),
        replace(MAIL, message_id="<x>\r\nBcc: eve@evil.example"),
    ],
)
def test_no_header_can_be_smuggled_in(mail: Mail) -> None:
    with pytest.raises((ValueError, email.errors.MessageError)):
        message(mail, "billing@billing.example").as_bytes()


def test_names_with_line_breaks_become_no_headers() -> None:
    mail = replace(MAIL, attachment=('x"\r\nX-Evil: 1.pdf', b"%PDF-"))
    try:
        found = parse(message(mail, "billing@billing.example").as_bytes())
    except ValueError:
        return
    assert all("X-Evil" not in part for part in found.walk())


def test_text_in_any_script_arrives_as_it_was() -> None:
    letter = Letter(
        subject="請求書 \N{EM DASH} إشعار", text="請求書の席数\n.\nFrom here\n" + "x" * 2000, html="<p>é</p>"
    )
    found = parse(message(replace(MAIL, letter=letter), "billing@billing.example").as_bytes())
    text = found.get_body(("plain",))

    assert found["Subject"] == letter.subject
    assert text is not None
    assert text.get_content().replace("\r\n", "\n").rstrip("\n") == letter.text


# --- a real server ----------------------------------------------------------------------------------------------------


async def test_a_server_gets_it_for_every_recipient() -> None:
    mailbox = Mailbox()
    async with serving(mailbox):
        assert await mailer(mailbox).send(MAIL) == Sent()

    ((recipients, content),) = mailbox.taken
    assert recipients == list(MAIL.recipients)
    assert parse(content)["Subject"] == "Credit memo CM00000001"


async def test_recipients_that_are_refused_are_told_while_others_get_it() -> None:
    mailbox = Mailbox(refuse={"bob@acme.example": "550 no such user"})
    async with serving(mailbox):
        sent = await mailer(mailbox).send(MAIL)

    assert list(sent.refused) == ["bob@acme.example"]
    assert "550" in sent.refused["bob@acme.example"]
    assert sent.later == {}
    assert mailbox.taken[0][0] == ["ada@acme.example"]


async def test_recipients_that_are_put_off_are_told_apart_from_those_refused_for_good() -> None:
    three = replace(MAIL, recipients=("ada@acme.example", "bob@acme.example", "eve@acme.example"))
    mailbox = Mailbox(refuse={"bob@acme.example": "450 greylisted", "eve@acme.example": "550 no such user"})
    async with serving(mailbox):
        sent = await mailer(mailbox).send(three)

    assert (list(sent.later), list(sent.refused)) == (["bob@acme.example"], ["eve@acme.example"])
    assert mailbox.taken[0][0] == ["ada@acme.example"]


@pytest.mark.parametrize(
    ("mailbox", "kind"),
    [
        (Mailbox(refuse=dict.fromkeys(MAIL.recipients, "550 no such user")), MailRefused),
        (Mailbox(refuse=dict.fromkeys(MAIL.recipients, "451 later")), MailDelayed),
        (Mailbox(refuse={MAIL.recipients[0]: "451 later", MAIL.recipients[1]: "550 never"}), MailDelayed),
        (Mailbox(answer="554 spam"), MailRefused),
        (Mailbox(answer="452 full"), MailDelayed),
    ],
)
async def test_what_a_server_says_tells_whether_to_try_again(mailbox: Mailbox, kind: type[Exception]) -> None:
    async with serving(mailbox):
        with pytest.raises(kind):
            await mailer(mailbox).send(MAIL)


async def test_a_server_that_is_away_is_tried_again() -> None:
    mailbox = Mailbox()
    async with serving(mailbox):
        pass

    with pytest.raises(MailDelayed):
        await mailer(mailbox).send(MAIL)


async def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: asyncio.sleep(30), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(MailDelayed):
        await mailer(Mailbox(port=port), timeout=0.2).send(MAIL)
    server.close()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_server_is_reached_over_tls_and_logged_in_to(certificate: tuple[Path, Path], tls: Any) -> None:
    mailbox, side = Mailbox(), server_side(certificate)
    tried: list[Any] = []

    def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        tried.append((data.login, data.password))
        return AuthResult(success=data.password == b"secret", handled=False)

    options: dict[str, Any] = {"authenticator": authenticate, "auth_required": True}
    if tls == "implicit":
        options |= {"implicit": side, "auth_require_tls": False}
    else:
        options |= {"tls_context": side, "require_starttls": True}
    async with serving(mailbox, **options):
        trusting = mailer(
            mailbox,
            tls=tls,
            username="nimbus",
            password="secret",
            context=lambda: ssl.create_default_context(cafile=certificate[0]),
        )
        assert await trusting.send(MAIL) == Sent()
        with pytest.raises(MailDelayed, match="does not let us in"):
            await replace(trusting, password="wrong").send(MAIL)

    assert tried[0] == (b"nimbus", b"secret")
    assert len(mailbox.taken) == 1


async def test_a_server_whose_certificate_nobody_knows_gets_nothing(certificate: tuple[Path, Path]) -> None:
    mailbox = Mailbox()
    async with serving(mailbox, tls_context=server_side(certificate)):
        with pytest.raises(MailDelayed):
            await mailer(mailbox, tls="starttls", username="nimbus", password="secret").send(MAIL)

    assert mailbox.taken == []


async def test_a_server_without_tls_gets_nothing_where_it_is_asked_for() -> None:
    mailbox = Mailbox()
    async with serving(mailbox):
        with pytest.raises(MailDelayed):
            await mailer(mailbox, tls="starttls").send(MAIL)

    assert mailbox.taken == []


# --- a folder ---------------------------------------------------------------------------------------------------------


async def test_a_folder_gets_one_file_per_mail_however_often_it_is_sent(tmp_path: Path) -> None:
    folder = FolderMailer(folder=tmp_path / "mail", sender="billing@billing.example")
    await folder.send(MAIL)
    await folder.send(MAIL)

    (path,) = (tmp_path / "mail").iterdir()
    assert path.name == "cmj_1.eml"
    assert parse(path.read_bytes())["Message-ID"] == MAIL.message_id


async def test_a_folder_that_cannot_be_written_to_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")

    with pytest.raises(MailDelayed):
        await FolderMailer(folder=tmp_path / "mail", sender="billing@billing.example").send(MAIL)
