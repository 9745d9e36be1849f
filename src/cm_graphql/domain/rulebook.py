"""What a tenant has chosen and what the calendar says: the facts that rules ask for beside the documents."""

from dataclasses import dataclass, field
from datetime import date

from cm_graphql.domain.enums import ApplicationRule, AvailableToCreditRule, ReasonCodeType
from cm_graphql.domain.errors import ErrorCode, refuse
from cm_graphql.domain.records import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """The tenant's choices (domain.md 2.9, TenantSettings), with the reference's defaults."""

    application_rule: ApplicationRule = ApplicationRule.PRORATION
    proration_limit: int = 10_000
    available_to_credit_rule: AvailableToCreditRule = AvailableToCreditRule.HEADER_ONLY
    count_billing_engine_credits: bool = True
    number_on_posting: bool = False
    unpost_rule: bool = False
    """Refuse to unpost what a closed accounting period has recognised (domain.md 1.26)."""
    allow_cross_pairs: bool = False
    """Let explicit items pair an item with a taxation item (domain.md 4.8)."""
    tax_engine: str = "none"
    """`none`, `table` or `avalara`: who prices the tax of standalone lines (domain.md 7.23)."""
    time_zone: str = "UTC"
    company_name: str = ""
    """Who issues the memos: the first line of the letterhead."""
    company_address: str = ""
    """Lines below the name, with a line break between them."""
    company_country: str = ""
    """The issuer's country, by the two letters of ISO 3166; electronic invoices need it."""
    company_tax_id: str = ""
    pdf_color: str = "#1F3A5F"
    pdf_footer: str = ""
    pdf_locale: str = "en-US"
    """A language tag: how PDFs spell dates and amounts, and in which language they label them."""
    pdf_paper: str = "a4"
    """`a4` or `us-letter`."""
    einvoice: bool = False
    """Whether PDFs carry an electronic invoice (Factur-X, type 381)."""
    email_notification: bool = True
    """Whether memos can be mailed at all (domain.md 1.13)."""
    email_attach_pdf: bool = True
    email_to: str = ""
    """The To list of the mail's template: addresses separated by commas."""
    email_subject: str = ""
    """Templates (see `letters`); the built-in ones where they are empty."""
    email_text: str = ""
    email_html: str = ""

    def __post_init__(self) -> None:
        assert self.application_rule in (ApplicationRule.FIFO, ApplicationRule.PRORATION), "the others are asked for"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCode:
    """A reason code of one kind of document (domain.md 2.9, 7.10)."""

    name: str
    type: ReasonCodeType
    active: bool = True
    is_default: bool = False


@dataclass(frozen=True, kw_only=True)
class RuleBook:
    """Everything the rules ask for that is not a document: settings, periods, reason codes."""

    settings: TenantSettings = field(default_factory=TenantSettings)
    closed_periods: tuple[Period, ...] = ()
    reason_codes: tuple[ReasonCode, ...] = ()

    def is_closed(self, day: date) -> bool:
        """Tell whether a day lies in a closed accounting period; a day in no period is open (domain.md 7.30)."""
        return self.closing_period(day) is not None

    def closing_period(self, day: date) -> Period | None:
        """The closed period a day lies in."""
        return next((p for p in self.closed_periods if p.start_date <= day <= p.end_date), None)

    def require_open(self, day: date, what: str, *path: str | int) -> None:
        """Refuse a dated action in a closed period (domain.md 7.30): DATE_IN_CLOSED_PERIOD."""
        period = self.closing_period(day)
        if period is not None:
            raise refuse(
                ErrorCode.DATE_IN_CLOSED_PERIOD,
                f"The {what} {day} lies in the closed accounting period {period.name} "
                f"({period.start_date} to {period.end_date}): choose a date in an open period.",
                *path,
            )

    def reason(self, kind: ReasonCodeType, asked: str | None, default: str | None, *path: str | int) -> str | None:
        """The reason code to store, in its stored spelling: the asked one, else the named or tenant's default.

        Refuses one that does not exist or is not active: REASON_CODE_INVALID (domain.md 5, 7.10).
        """
        codes = [code for code in self.reason_codes if code.type is kind]
        if asked is None and default is None:
            return next((code.name for code in codes if code.is_default and code.active), None)
        name = asked if asked is not None else default
        assert name is not None
        for code in codes:
            if code.active and code.name.lower() == name.lower():
                return code.name
        raise refuse(ErrorCode.REASON_CODE_INVALID, f"Unable to get the Reason Code by name: {name}", *path)
