"""Templates of mails: what they can do, and that there is nothing else that they can do."""

import pytest

from cm_graphql.domain import letters
from cm_graphql.domain.letters import TemplateBroken
from cm_graphql.domain.rulebook import TenantSettings

VALUES: dict[str, str | bool] = {**dict.fromkeys(letters.VALUES, ""), "number": "CM1", "has_pdf": True}


def filled(template: str, **values: str | bool) -> str:
    return letters.write(TenantSettings(email_html=template), {**VALUES, **values}).html


def test_the_built_in_templates_are_right() -> None:
    for template in (letters.SUBJECT, letters.TEXT, letters.HTML):
        assert letters.wrong_with(template) is None


def test_a_mail_names_the_memo_its_money_and_what_is_attached() -> None:
    values = {**VALUES, "amount": "USD 10.00", "contact_name": "Ada", "company_name": "Nimbus", "comment": "a\nb"}
    letter = letters.write(TenantSettings(), values)

    assert letter.subject == "Credit memo CM1 from Nimbus"
    assert letter.text.startswith("Dear Ada,\n\nplease find attached credit memo CM1")
    assert "USD 10.00" in letter.text
    assert "a<br>\nb" in letter.html


@pytest.mark.parametrize(
    "template",
    [
        "{{ number }}",
        "{% if comment %}{{ comment | upper }}{% elif has_pdf %}pdf{% else %}none{% endif %}",
        "{{ comment or 'none' }} {{ 'a' if number == 'CM1' and not comment else 'b' }}",
        "{{ comment | truncate(20) | default('x', true) | trim }}",
        "{# a remark #}",
        "no braces at all",
    ],
)
def test_a_template_prints_and_decides(template: str) -> None:
    assert letters.wrong_with(template) is None
    filled(template)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in comment %}{{ a }}{% endfor %}",
        "{{ number.__class__ }}",
        "{{ number['__class__'] }}",
        "{{ number.upper() }}",
        "{{ range(10) }}",
        "{{ self }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 99999999 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ number ~ number }}",
        "{% set a = number %}{{ a }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% include 'x' %}",
        "{% import 'x' as x %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{{ number | safe }}",
        "{{ number | center(1000000000) }}",
        "{{ number | attr('__class__') }}",
        "{{ unknown }}",
        "{{ number",
        "{% if %}",
        "{{ [number] }}",
        "{{ {'a': number} }}",
        "{{ number is defined }}",
        "{% filter upper %}a{% endfilter %}",
        "{{ " + "not " * 5_000 + "number }}",
    ],
)
def test_a_template_does_nothing_else(template: str) -> None:
    wrong = letters.wrong_with(template)

    assert wrong
    assert "\n" not in wrong
    with pytest.raises(TemplateBroken):
        filled(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ number | truncate('x') }}",
        "{{ number | truncate(ends=3) }}",
        "{% if number > 5 %}many{% endif %}",
        "{% if has_pdf < comment %}odd{% endif %}",
        "{{ number | upper(1, 2) }}",
    ],
)
def test_a_template_that_cannot_be_filled_is_told_before_it_is_used(template: str) -> None:
    wrong = letters.wrong_with(template)

    assert wrong is not None
    assert "cannot be filled" in wrong
    assert "\n" not in wrong


def test_values_are_text_in_html_and_never_templates() -> None:
    assert filled("{{ comment }}", comment="<b>{{ number }}</b>") == "&lt;b&gt;{{ number }}&lt;/b&gt;"


@pytest.mark.parametrize("breaks", ["\r\nBcc: x", "\nBcc: x", "\x0bBcc: x", "\x00Bcc: x", "\u2028Bcc: x", "\x85Bcc: x"])
def test_a_subject_is_one_line(breaks: str) -> None:
    letter = letters.write(TenantSettings(email_subject="a{{ comment }}" + breaks), {**VALUES, "comment": breaks})

    assert len(letter.subject.splitlines()) == 1
    assert letter.subject.startswith("a Bcc: x Bcc: x")
