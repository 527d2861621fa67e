"""Settings, read once from the environment and `.env`; nothing else reads them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from web.errors import SettingsError

PREFIX = "GUITU_"
# Accounts of messaging platforms have tables of their own, beside each platform.
CHANNEL_PREFIX = "GUITU_CHANNEL_"
PROJECT_DIR = Path(__file__).resolve().parent.parent


class Settings(BaseModel):
    """All settings. The environment name of each is `GUITU_` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path("var"), description="Folder for everything that is made or received.")
    corpus: Path = Field(PROJECT_DIR / "corpus", description="Folder with articles/, contacts.yaml and lexicon.yaml.")
    model: str | None = Field(
        None,
        description="A sentence-transformers folder or hub name; empty: multilingual-e5-small, built here.",
    )
    public_url: str | None = Field(
        None,
        description="The address people reach this server by, for links in messages, e.g. https://help.example.org",
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy address of the message store; empty: SQLite in the data folder."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Key for stored messages and hashed identifiers; empty: one is made in the data folder.",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="Web origins whose pages may embed the widget, separated by commas, or * for all."
    )
    max_question_chars: int = Field(2000, ge=50, le=20_000, description="Longest question, in characters.")
    conversation_minutes: int = Field(
        30, ge=1, le=1440, description="How long a conversation is remembered, in memory."
    )
    requests_per_minute: int = Field(60, ge=1, le=100_000, description="Requests a minute taken from one address.")
    trust_proxy: bool = Field(
        False, description="Take the visitor's address from X-Forwarded-For (behind a proxy only)."
    )
    contact_max_age_days: int = Field(
        365, ge=30, le=3650, description="A number checked longer ago than this says so wherever it is shown."
    )
    redacted_log: bool = Field(
        False, description="Keep questions, with personal data replaced, in the data folder for the operator."
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("public_url")
    @classmethod
    def _no_slash(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with https:// or http://")
        return value.rstrip("/") if value else None


def read_environment(
    environment: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")
) -> dict[str, str]:
    """Names and values of `environment` (default: the process's), over those in the file `dotenv`."""
    values: dict[str, str] = {}
    if dotenv is not None and dotenv.is_file():
        values.update({name: value for name, value in dotenv_values(dotenv).items() if value is not None})
    values.update(os.environ if environment is None else environment)
    return values


def load_settings(environment: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """The settings in `environment` (default: the process's), over those in the file `dotenv` where it exists.

    Raises:
        SettingsError: a name with our prefix is unknown, or a value is wrong. Secret values are never printed.
    """
    values = read_environment(environment, dotenv)
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    fields: dict[str, Any] = {}
    for name, value in sorted(values.items()):
        if not name.startswith(PREFIX) or name.startswith(CHANNEL_PREFIX):
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
            raise SettingsError(f"unknown setting {name}{hint}")
        if value != "":
            fields[known[name]] = value
    try:
        return Settings(**fields)
    except ValidationError as error:
        problem = error.errors()[0]
        name = PREFIX + str(problem["loc"][0]).upper()
        raise SettingsError(f"setting {name}: {problem['msg']}; see README, Settings") from None
