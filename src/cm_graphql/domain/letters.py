"""What a mail says: templates that a tenant writes, filled with a memo's values and nothing else.

A template may print values, filter them and decide by them. It cannot loop, call, assign or reach into anything, so
that what it costs and how long its result is are bounded by its own length.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from cm_graphql.domain.rulebook import TenantSettings

VALUES: Final = (
    "number",
    "date",
    "amount",
    "applied_amount",
    "unapplied_amount",
    "refund_amount",
    "currency",
    "account_name",
    "account_number",
    "contact_name",
    "invoice_number",
    "reason_code",
    "comment",
    "company_name",
    "has_pdf",
)
"""The names that a template may use: all but `has_pdf` are text, empty where a memo has no such thing."""

SUBJECT: Final = "Credit memo {{ number }}{% if company_name %} from {{ company_name }}{% endif %}"
TEXT: Final = """\
Dear {{ contact_name or account_name }},

{% if has_pdf %}please find attached credit memo{% else %}we have issued credit memo{% endif %} {{ number }} \
of {{ date }} over {{ amount }}{% if invoice_number %}, which concerns invoice {{ invoice_number }}{% endif %}.
{% if comment %}
{{ comment }}
{% endif %}
Applied: {{ applied_amount }}
Unapplied: {{ unapplied_amount }}

{{ company_name or "Yours sincerely" }}
"""
HTML: Final = """\
<!doctype html>
<html><body style="font-family: sans-serif; color: #222; max-width: 40em">
<p>Dear {{ contact_name or account_name }},</p>
<p>{% if has_pdf %}please find attached credit memo{% else %}we have issued credit memo{% endif %} \
<strong>{{ number }}</strong> of {{ date }} over <strong>{{ amount }}</strong>\
{% if invoice_number %}, which concerns invoice {{ invoice_number }}{% endif %}.</p>
{% if comment %}<p>{{ comment | lines }}</p>{% endif %}
<table style="border-collapse: collapse">
<tr><td style="padding-right: 2em">Applied</td><td style="text-align: right">{{ applied_amount }}</td></tr>
<tr><td style="padding-right: 2em">Unapplied</td><td style="text-align: right">{{ unapplied_amount }}</td></tr>
</table>
<p>{{ company_name or "Yours sincerely" }}</p>
</body></html>
"""

_FILTERS: Final = ("capitalize", "default", "e", "escape", "lines", "lower", "title", "trim", "truncate", "upper")
_ALLOWED: Final[tuple[type[nodes.Node], ...]] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Filter,
    nodes.Keyword,
)
_SPACE = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What a mail says, before it is addressed."""

    subject: str
    """One line, whatever the template and the values hold."""
    text: str
    html: str


class TemplateBroken(Exception):
    """A template that cannot be filled; the message says why."""


def _lines(value: object) -> Markup:
    """Show line breaks in HTML."""
    return Markup("<br>\n").join(str(value).splitlines())


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(autoescape=html, undefined=StrictUndefined, keep_trailing_newline=True)
    made.globals.clear()
    made.tests.clear()
    made.filters["lines"] = _lines
    made.filters = {name: made.filters[name] for name in _FILTERS}
    return made


_PLAIN: Final = _environment(html=False)
_HTML: Final = _environment(html=True)


SAMPLES: Final[tuple[Mapping[str, str | bool], ...]] = (
    dict.fromkeys(VALUES, "") | {"has_pdf": False},
    {name: f"{name}, for example" for name in VALUES} | {"has_pdf": True},
)
"""A memo of which nothing is known, and one of which everything is: a template has to do for both."""


def wrong_with(template: str) -> str | None:
    """Say what is wrong with a template, or nothing: it is looked through, and filled for two memos that never were."""
    wrong = _forbidden_in(template)
    if wrong is not None:
        return wrong
    try:
        for environment in (_PLAIN, _HTML):
            made = environment.from_string(template)
            for sample in SAMPLES:
                made.render(sample)
    except (TemplateError, TypeError, ValueError, RecursionError) as error:
        return f"it cannot be filled: {_one_line(error)}"
    return None


def _forbidden_in(template: str) -> str | None:
    try:
        tree = _PLAIN.parse(template)
        for node in tree.find_all(nodes.Node):
            if not isinstance(node, _ALLOWED):
                kind = type(node).__name__.lower()
                return f"a template prints values and decides by them; line {node.lineno} does something else ({kind})."
            if isinstance(node, nodes.Name) and node.name not in VALUES:
                return f"there is no value {node.name!r} in line {node.lineno}; there are {', '.join(VALUES)}."
            if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
                return f"there is no filter {node.name!r} in line {node.lineno}; there are {', '.join(_FILTERS)}."
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    except RecursionError:
        return "it is nested too deeply."
    return None


def write(settings: TenantSettings, values: Mapping[str, str | bool]) -> Letter:
    """Fill the tenant's templates, or the built-in ones; raises TemplateBroken."""
    assert set(values) == set(VALUES), "a template can rely on every value"
    subject = _fill(_PLAIN, settings.email_subject or SUBJECT, values)
    return Letter(
        subject=_SPACE.sub(" ", subject).strip()[:500],
        text=_fill(_PLAIN, settings.email_text or TEXT, values),
        html=_fill(_HTML, settings.email_html or HTML, values),
    )


def _fill(environment: ImmutableSandboxedEnvironment, template: str, values: Mapping[str, str | bool]) -> str:
    wrong = _forbidden_in(template)  # again, because it may have been stored by an older version
    if wrong is not None:
        raise TemplateBroken(wrong)
    try:
        return environment.from_string(template).render(values)
    except (TemplateError, TypeError, ValueError, RecursionError) as error:
        raise TemplateBroken(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    return _SPACE.sub(" ", str(error)).strip()[:300] or type(error).__name__
