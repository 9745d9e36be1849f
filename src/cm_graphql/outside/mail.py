"""Mail: put together as a message, and handed to an SMTP server, or laid into a folder where somebody can look."""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

import structlog

from cm_graphql.operations.document_ports import Mail, MailDelayed, MailRefused, Sent

Tls = Literal["starttls", "implicit", "none"]

log = structlog.get_logger("cm_graphql.mail")

_PERMANENT: Final = range(500, 600)


def message(mail: Mail, sender: str, sender_name: str = "") -> EmailMessage:
    """The message of a mail; a header that would hold a line break is refused by the library, and is never made."""
    from email.headerregistry import Address  # here, since few processes send mail
    from email.policy import SMTP

    made = EmailMessage(policy=SMTP)
    made["From"] = Address(sender_name, addr_spec=sender)
    made["To"] = tuple(Address(addr_spec=address) for address in mail.recipients)
    made["Subject"] = mail.letter.subject
    made["Date"] = format_datetime(mail.date)
    made["Message-ID"] = mail.message_id
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(mail.letter.text, cte="quoted-printable")
    made.add_alternative(mail.letter.html, subtype="html", cte="quoted-printable")
    if mail.attachment is not None:
        name, content = mail.attachment
        made.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return made


def domain_of(address: str) -> str:
    """What comes after the @."""
    return address.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class FolderMailer:
    """Lays mails into a folder as `.eml` files, which mail programs open: for trying out, or for a relay."""

    folder: Path
    sender: str
    sender_name: str = ""

    @property
    def domain(self) -> str:
        """The domain of the sender."""
        return domain_of(self.sender)

    async def send(self, mail: Mail) -> Sent:
        """Write the file, whole or not at all; sent again, it is written over."""
        content = message(mail, self.sender, self.sender_name).as_bytes()
        name = mail.message_id.strip("<>").partition("@")[0]
        target = self.folder / f"{name}.eml"
        part = self.folder / f".{name}.{uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            os.replace(part, target)
        except OSError as error:
            raise MailDelayed(f"The folder {self.folder} cannot be written to: {error.strerror}.") from error
        log.info("mail_laid_down", file=str(target.absolute()))
        return Sent()


@dataclass(frozen=True, kw_only=True)
class SmtpMailer:
    """Hands mails to an SMTP server."""

    host: str
    port: int
    sender: str
    sender_name: str = ""
    username: str | None = None
    password: str | None = None
    tls: Tls = "starttls"
    """`starttls`, `implicit` (as on port 465) or `none`; what is asked for is insisted on."""
    timeout: float = 30.0
    context: Callable[[], ssl.SSLContext] = ssl.create_default_context

    @property
    def domain(self) -> str:
        """The domain of the sender."""
        return domain_of(self.sender)

    async def send(self, mail: Mail) -> Sent:
        """Hand it over; answers the recipients that were refused, where others were not."""
        import aiosmtplib  # here, as above

        client = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            use_tls=self.tls == "implicit",
            start_tls=self.tls == "starttls",
            tls_context=None if self.tls == "none" else self.context(),
            timeout=self.timeout,
        )
        try:
            async with client:
                if self.username is not None:
                    await client.login(self.username, self.password or "")
                refused, _ = await client.sendmail(
                    self.sender, list(mail.recipients), message(mail, self.sender, self.sender_name).as_bytes()
                )
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [one.code for one in error.recipients]
            reason = "; ".join(f"{one.recipient}: {one.code} {one.message}" for one in error.recipients)
            if all(code in _PERMANENT for code in codes):
                raise MailRefused(f"The mail server refused every recipient: {reason}.") from error
            raise MailDelayed(f"The mail server does not take the mail now: {reason}.") from error
        except (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPNotSupported) as error:
            # Somebody has to set this right, on this side or on that; mails wait for it.
            raise MailDelayed(f"The mail server does not let us in: {error}.") from error
        except aiosmtplib.SMTPResponseException as error:
            kind = MailRefused if error.code in _PERMANENT else MailDelayed
            raise kind(f"The mail server said {error.code} {error.message}.") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailDelayed(f"The mail server {self.host}:{self.port} cannot be reached: {error}.") from error
        told = {address: f"{answer.code} {answer.message}" for address, answer in refused.items()}
        for_good = {address for address, answer in refused.items() if answer.code in _PERMANENT}
        return Sent(
            refused={address: why for address, why in told.items() if address in for_good},
            later={address: why for address, why in told.items() if address not in for_good},
        )
