"""Settings of accounts: refused by name, never shown by value; and the command line for operators."""

from __future__ import annotations

import argparse
import io
import logging
import re
from pathlib import Path

import pytest

from tests.web.channels.processes import ServerProcess
from tests.web.channels.support import PLATFORMS, SECRETS, StandIn, environment
from web import channels_cli
from web.channels.accounts import log_accounts, read_channel_settings, settings_table
from web.channels.errors import ChannelSettingsError
from web.channels.registry import ADAPTERS


def test_every_platform_is_read(tmp_path: Path) -> None:
    settings = read_channel_settings(environment(), data=tmp_path)
    assert {account.platform for account in settings.accounts} == set(ADAPTERS) == set(PLATFORMS)
    assert settings.incomplete == ()
    assert settings.database_url == f"sqlite:///{tmp_path / 'guitu.db'}"
    for account in settings.accounts:
        for secret in SECRETS[account.platform].values():
            assert secret not in repr(account)
    assert "key" not in repr(read_channel_settings({"GUITU_SECRET_KEY": "key" * 20}, data=tmp_path))


def test_several_accounts_of_one_platform(tmp_path: Path) -> None:
    environ = {
        "GUITU_CHANNEL_LINE_TAIWAN_CHANNEL_SECRET": "a",
        "GUITU_CHANNEL_LINE_TAIWAN_ACCESS_TOKEN": "b",
        "GUITU_CHANNEL_LINE_NORTH_TH_CHANNEL_SECRET": "c",
        "GUITU_CHANNEL_LINE_NORTH_TH_ACCESS_TOKEN": "d",
        "GUITU_CHANNEL_LINE_NORTH_TH_CHANNEL_SECRET_PREVIOUS": "e",
    }
    settings = read_channel_settings(environ, data=tmp_path)
    assert {account.name for account in settings.accounts} == {"taiwan", "north_th"}
    north = next(account for account in settings.accounts if account.name == "north_th")
    assert north.current_and_previous("CHANNEL_SECRET") == ("c", "e")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("GUITU_CHANNEL_TELEGRM_MAIN_SECRET", "GUITU_CHANNEL_TELEGRAM_"),
        ("GUITU_CHANNEL_LINE_MAIN_CHANEL_SECRET", "GUITU_CHANNEL_LINE_MAIN_CHANNEL_SECRET"),
        ("GUITU_CHANNEL_SMS_MAIN", "GUITU_CHANNEL_SMS_MAIN_FROM"),
        ("GUITU_CHANNEL_WECHAT_MAIN_MODE_PREVIOUS", "GUITU_CHANNEL_WECHAT_MAIN_"),
        ("GUITU_CHANNEL_", "platforms are"),
        ("GUITU_CHANNEL_line_MAIN_ACCESS_TOKEN", "write it in capitals, GUITU_CHANNEL_LINE_MAIN_ACCESS_TOKEN"),
        ("GUITU_CHANNEL_LINE_north_ACCESS_TOKEN", "write it in capitals, GUITU_CHANNEL_LINE_NORTH_ACCESS_TOKEN"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(ChannelSettingsError) as caught:
        read_channel_settings({name: "a-secret-value"}, data=tmp_path)
    assert name in str(caught.value)
    assert hint in str(caught.value)
    assert "a-secret-value" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WECHAT_AES_KEY", "short"),
        ("WECHAT_MODE", "compat"),
        ("WECHAT_VERIFIED", "perhaps"),
        ("TELEGRAM_SECRET", "tooshort"),
        ("GENERIC_SECRET", "whsec_c2hvcnQ="),
        ("GENERIC_SECRET", "plain"),
        ("GENERIC_CALLBACK_URL", "http://outside.example/x"),
        ("GUITU_PUBLIC_URL", "example.org"),
    ],
)
def test_wrong_values_are_refused_without_showing_them(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ChannelSettingsError) as caught:
        read_channel_settings(environment(more={name: value}), data=tmp_path)
    assert value not in str(caught.value).replace("must be whsec_", "").replace("such as https://guitu.example.org", "")


def test_start_up_says_what_is_on_and_what_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = environment("line") | {
        "GUITU_CHANNEL_ZALO_MAIN_APP_ID": "1",
        "GUITU_CHANNEL_WECHAT_MAIN_APP_ID": "wx",
    }
    environ["GUITU_CHANNEL_WECHAT_MAIN_TOKEN"] = "t"
    settings = read_channel_settings(environ, data=tmp_path)
    with caplog.at_level(logging.INFO):
        log_accounts(settings)
    assert "/hooks/line/main is on" in caplog.text
    assert "/hooks/zalo/main is NOT routed: set GUITU_CHANNEL_ZALO_MAIN_OA_SECRET" in caplog.text
    assert "/hooks/wechat/main is NOT routed: MODE=safe needs AES_KEY" in caplog.text
    assert "Telegram is not routed: no account; set GUITU_CHANNEL_TELEGRAM_" in caplog.text
    for secret in SECRETS["line"].values():
        assert secret not in caplog.text


def test_the_table_names_every_setting() -> None:
    table = settings_table()
    names = channels_cli.settings_names()
    assert len(names) > 40
    assert [name for name in names if f"`{name}`" not in table] == []
    assert not re.search(r"\n\n", table)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    channels_cli.add_parser(parser.add_subparsers())
    return parser.parse_args(["channels", *arguments])


def test_check_prints_urls_and_complaints(tmp_path: Path, stand_in: tuple[StandIn, str]) -> None:
    environ = environment(api_url=stand_in[1]) | {"GUITU_CHANNEL_SMS_TWO_FROM": "+1"}
    out = io.StringIO()
    assert channels_cli.run(parse("check"), environ, tmp_path, out=out) == 1
    found = out.getvalue()
    for platform in PLATFORMS:
        assert f"URL to enter: https://guitu.example.org/hooks/{platform}/main" in found
    assert "set GUITU_CHANNEL_SMS_TWO_ACCOUNT_SID" in found
    assert "Telegram does not take BOT_TOKEN" in found
    for values in SECRETS.values():
        for name, secret in values.items():
            if any(word in name for word in ("SECRET", "TOKEN", "AES_KEY")):
                assert secret not in found
    out = io.StringIO()
    assert channels_cli.run(parse("check", "--offline"), environment("line", "sms"), tmp_path, out=out) == 0
    assert channels_cli.run(parse("check"), {}, tmp_path, out=io.StringIO()) == 1


def test_simulate_says_what_an_account_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"GUITU_CHANNEL_WECHAT_MAIN_APP_ID": "wx1", "GUITU_CHANNEL_WECHAT_MAIN_TOKEN": "t"}
    for more, expected in (
        ({}, "account main, is not routed: MODE=safe needs AES_KEY"),
        ({"GUITU_CHANNEL_WECHAT_MAIN_TOKEN": ""}, "is not routed: set GUITU_CHANNEL_WECHAT_MAIN_TOKEN"),
    ):
        assert channels_cli.run(parse("simulate", "wechat", "问"), environ | more, tmp_path, out=io.StringIO()) == 1
        assert expected in capsys.readouterr().err
    assert channels_cli.run(parse("simulate", "line", "问"), environ, tmp_path, out=io.StringIO()) == 1
    assert "has no such account; set GUITU_CHANNEL_LINE_MAIN_" in capsys.readouterr().err


def test_simulate_shows_the_reply(
    tmp_path: Path, stand_in: tuple[StandIn, str], capsys: pytest.CaptureFixture[str]
) -> None:
    environ = environment(api_url=stand_in[1], more={"WECHAT_VERIFIED": "true"})
    server = ServerProcess(tmp_path, environ)
    server.start()
    try:
        for platform in PLATFORMS:
            out = io.StringIO()
            options = parse("simulate", platform, "热线怎么打", "--server", server.url)
            assert channels_cli.run(options, environ, tmp_path, out=out) == 0, (
                platform,
                out.getvalue(),
                server.log,
            )
            expected = "woken" if platform == "wechat_kf" else "热线怎么打"
            assert expected in out.getvalue(), platform
        wrong = environment(more={"LINE_CHANNEL_SECRET": "other"})
        options = parse("simulate", "line", "问", "--server", server.url)
        assert channels_cli.run(options, wrong, tmp_path, out=io.StringIO()) == 1
        assert "other secrets" in capsys.readouterr().err
    finally:
        server.stop()
    # Nobody was written to.
    assert stand_in[0].accepted == []
    assert channels_cli.run(options, environ, tmp_path, out=io.StringIO()) == 1
    assert "no server answers" in capsys.readouterr().err
