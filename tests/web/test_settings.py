"""Settings: read once, the unknown refused by name, secrets never printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from web.errors import SettingsError
from web.settings import PREFIX, Settings, load_settings, read_environment

SECRET = "correct-horse-battery-staple"


def loaded(**environment: str) -> Settings:
    return load_settings({PREFIX + name: value for name, value in environment.items()}, None)


def test_without_any_every_setting_has_its_default() -> None:
    settings = load_settings({}, None)
    assert settings == Settings()
    assert (settings.data, settings.max_question_chars, settings.trust_proxy) == (Path("var"), 2000, False)
    assert (settings.corpus / "contacts.yaml").is_file()
    assert settings.redacted_log is False


def test_values_are_read_as_what_they_are() -> None:
    settings = loaded(
        DATA="elsewhere",
        REQUESTS_PER_MINUTE="7",
        TRUST_PROXY="true",
        PUBLIC_URL="https://help.example.org/",
        CORS_ORIGINS=" https://a.example/ ,https://b.example,, ",
    )
    assert settings.data == Path("elsewhere")
    assert settings.requests_per_minute == 7
    assert settings.trust_proxy is True
    assert settings.public_url == "https://help.example.org"
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    # Empty is not set.
    assert loaded(REQUESTS_PER_MINUTE="", DATA="", SECRET_KEY="") == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings({}, None).data = Path("elsewhere")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("GUITU_DATTA", "GUITU_DATA"),
        ("GUITU_TRUST_PROXI", "GUITU_TRUST_PROXY"),
        ("GUITU_CORS_ORIGIN", "GUITU_CORS_ORIGINS"),
        ("GUITU_data", "GUITU_DATA"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({name: "x"}, None)
    assert str(raised.value) == f"unknown setting {name}; did you mean {near}?"


def test_a_name_like_no_other_is_refused_with_all_that_are_known() -> None:
    with pytest.raises(SettingsError, match="unknown setting GUITU_QQQQQQ; known are") as raised:
        load_settings({"GUITU_QQQQQQ": SECRET}, None)
    assert all(PREFIX + field.upper() in str(raised.value) for field in Settings.model_fields)
    assert SECRET not in str(raised.value)


def test_names_of_others_and_of_channels_are_passed_over() -> None:
    assert load_settings({"PATH": "/bin", "GUITUX": "1", "GUITU_CHANNEL_LINE_MAIN_SECRET": "s"}, None) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUESTS_PER_MINUTE", "many"),
        ("REQUESTS_PER_MINUTE", "0"),
        ("MAX_QUESTION_CHARS", "49"),
        ("CONVERSATION_MINUTES", "100000"),
        ("TRUST_PROXY", "perhaps"),
        ("PUBLIC_URL", "help.example.org"),
        ("PUBLIC_URL", "javascript:alert(1)"),
        ("CONTACT_MAX_AGE_DAYS", "1.5"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_the_setting(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^setting GUITU_{name}: .*; see README, Settings$"):
        loaded(**{name: value})


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(SECRET_KEY=SECRET)
    assert settings.secret_key is not None
    assert settings.secret_key.get_secret_value() == SECRET
    shown = (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()))
    assert all(SECRET not in text for text in shown)
    # Nor by an error about another setting, nor in the chain of its causes.
    with pytest.raises(SettingsError) as raised:
        loaded(SECRET_KEY=SECRET, TRUST_PROXY="perhaps")
    error: BaseException | None = raised.value
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert SECRET not in str(error)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# a comment\nGUITU_DATA=from-file\nexport GUITU_MODEL='a model'\nGUITU_REQUESTS_PER_MINUTE=5\nOTHER=1\nBARE\n"
    )
    settings = load_settings({"GUITU_REQUESTS_PER_MINUTE": "6"}, dotenv)
    assert (settings.data, settings.model, settings.requests_per_minute) == (Path("from-file"), "a model", 6)
    assert read_environment({}, dotenv)["OTHER"] == "1"
    assert "BARE" not in read_environment({}, dotenv)


def test_an_unknown_name_in_the_file_is_refused_too(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("GUITU_DATTA=x\n")
    with pytest.raises(SettingsError, match=r"GUITU_DATTA; did you mean GUITU_DATA\?"):
        load_settings({}, dotenv)


def test_no_file_is_no_problem_and_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUITU_DATA", "from-process")
    assert load_settings(dotenv=tmp_path / "none").data == Path("from-process")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("GUITU_MODEL=of-the-folder\n")
    assert load_settings().model == "of-the-folder"


def test_every_setting_says_what_it_is() -> None:
    assert len(Settings.model_fields) > 10
    assert all(field.description for field in Settings.model_fields.values())
