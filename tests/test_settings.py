"""Settings: where they come from, and that a wrong one is named in one line, never guessed and never a traceback."""

import os
from datetime import date

import pytest

from cm_graphql.api.limits import Limits
from cm_graphql.settings import Settings, SettingsError, variable


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CM_GRAPHQL_"):
            monkeypatch.delenv(name)


def complaint(**overrides: object) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.load(overrides)
    return str(refused.value)


def test_without_any_setting_a_server_listens_locally_upon_a_file_beside_it() -> None:
    settings = Settings.load()

    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.database_url.get_secret_value() == "sqlite:///cm-graphql.db"
    assert settings.limits() == Limits()


def test_the_environment_sets_and_the_command_line_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_GRAPHQL_PORT", "9000")
    monkeypatch.setenv("CM_GRAPHQL_HOST", "localhost")
    monkeypatch.setenv("CM_GRAPHQL_TODAY", "2026-03-31")
    monkeypatch.setenv("CM_GRAPHQL_ALLOWED_HOSTS", "memos.example, localhost")
    monkeypatch.setenv("CM_GRAPHQL_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("CM_GRAPHQL_MAX_DEPTH", "30")

    settings = Settings.load({"port": 9001, "host": None})

    assert (settings.host, settings.port) == ("localhost", 9001)
    assert settings.today == date(2026, 3, 31)
    assert settings.allowed_hosts == ("memos.example", "localhost")
    assert settings.log_level == "warning"
    assert settings.limits().depth == 30


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_GRAPHQL_PORT", "")

    assert Settings.load().port == 8000


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("CM_GRAPHQL_DATABSE_URL", "CM_GRAPHQL_DATABASE_URL"),
        ("CM_GRAPHQL_PROT", "CM_GRAPHQL_PORT"),
        ("CM_GRAPHQL_MAXDEPTH", "CM_GRAPHQL_MAX_DEPTH"),
        ("cm_graphql_wrokers", "CM_GRAPHQL_WORKERS"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    monkeypatch.setenv(misspelt, "1")

    assert complaint() == f"There is no setting {misspelt}; did you mean {meant}?"


def test_the_variables_of_the_test_suite_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_GRAPHQL_TEST_DATABASES", "sqlite")

    Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "abc"),
        ("port", "65536"),
        ("port", "-1"),
        ("workers", "0"),
        ("today", "31.3.2026"),
        ("today", "2026-02-30"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("introspection", "perhaps"),
        ("lock_timeout", "0"),
        ("max_depth", "0"),
        ("max_json_depth", "1000"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(variable(name), value)

    message = complaint()

    assert message.startswith(f"{variable(name)} is '{value}': ")
    assert "\n" not in message


def test_several_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_GRAPHQL_PORT", "abc")
    monkeypatch.setenv("CM_GRAPHQL_WORKERS", "none")

    assert len(complaint().splitlines()) == 2


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert field.description.endswith("."), name


def test_a_password_is_not_shown() -> None:
    settings = Settings.load({"database_url": "postgresql://user:hunter2@host/name"})

    assert "hunter2" not in repr(settings)
