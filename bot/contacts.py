"""The checked contact list, `corpus/contacts.yaml`: the only place from which a number reaches a person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from bot.errors import ContactsError
from bot.types import Contact
from retrieval import Source, load_yaml

SHOWN_CONFIDENCES = ("high", "medium")


class ContactList:
    """The contacts that may be shown, in the order of the file."""

    def __init__(self, contacts: Iterable[Contact]) -> None:
        self.contacts = tuple(c for c in contacts if c.confidence in SHOWN_CONFIDENCES)

    @classmethod
    def load(cls, path: Path) -> ContactList:
        """The list in the YAML file `path`.

        Raises:
            ContactsError: the file is missing or a record is not as it should be.
        """
        try:
            records = load_yaml(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ContactsError(f"the contact list '{path}' cannot be read; restore it") from error
        if not isinstance(records, list) or not records:
            raise ContactsError(f"the contact list '{path}' holds no list of records; restore it")
        contacts = [_contact(record, path) for record in records]
        seen: set[str] = set()
        for contact in contacts:
            if contact.contact_id in seen:
                raise ContactsError(f"'{path}': the id '{contact.contact_id}' is used twice; rename one")
            seen.add(contact.contact_id)
        return cls(contacts)

    @cached_property
    def by_id(self) -> Mapping[str, Contact]:
        """Contacts by id."""
        return {contact.contact_id: contact for contact in self.contacts}

    def select(
        self,
        *,
        nationality: str | None = None,
        country: str | None = None,
        situation: str | None = None,
        most: int | None = None,
    ) -> list[Contact]:
        """Contacts for a person, the most useful first.

        Args:
            nationality, country: ISO codes of the person's nationality and of where the person is; None: not known.
            situation: one of `SITUATIONS`; None or general: any.
        Returns:
            Contacts of the person's own country, and those of the country where the person is, that can be reached
            from there. With neither known, every contact.
        """
        found = [
            contact
            for contact in self.contacts
            if (nationality is None and country is None)
            or (_concerns(contact, nationality, country) and _reachable(contact, country, nationality))
        ]
        if situation not in (None, "general"):
            found = [contact for contact in found if situation in contact.situations]
        found.sort(key=lambda c: (_distance(c, nationality, country), c.priority, c.contact_id))
        return found[:most]


def is_old(contact: Contact, today: dt.date, max_age_days: int) -> bool:
    """Whether the newest source of `contact` is older than the limit, or undated."""
    try:
        return (today - dt.date.fromisoformat(contact.checked)).days > max_age_days
    except ValueError:
        return True


def _concerns(contact: Contact, nationality: str | None, country: str | None) -> bool:
    """Whether it is a line for this nationality, or one for everybody in a country that has to do with the person."""
    if contact.serves:
        return nationality in contact.serves
    return contact.country in (nationality, country)


def _reachable(contact: Contact, country: str | None, nationality: str | None) -> bool:
    if country is None:
        return True
    # The embassy of one's own country in a third country is of no help.
    if contact.kind == "embassy" and contact.country != country:
        return False
    return "*" in contact.dials_from or country in contact.dials_from


def _distance(contact: Contact, nationality: str | None, country: str | None) -> int:
    """0 for one's own authority, then the lines where one is, then at home; embassies last while the country is open,
    lines for the mind last of all."""
    if contact.kind == "crisis-line":
        return 4
    if nationality is not None and nationality in contact.serves:
        return 3 if contact.kind == "embassy" and country is None else 0
    return 1 if country is not None and contact.country == country else 2


def _contact(record: Any, path: Path) -> Contact:
    name = record.get("id", "?") if isinstance(record, dict) else str(record)[:40]
    try:
        serves = record["for"]
        contact = Contact(
            contact_id=str(record["id"]),
            names={str(k): str(v) for k, v in record["names"].items()},
            number=_optional(record.get("number")),
            local=_optional(record.get("local")),
            country=_country(record["country"]),
            serves=() if serves in ("ALL", ["ALL"]) else tuple(_country(c) for c in serves),
            kind=str(record.get("kind") or "ngo"),
            situations=tuple(record.get("situations") or ()),
            dials_from=tuple(_country(c) for c in record.get("dials_from") or ()),
            channels=tuple(record.get("channels") or ("phone",)),
            address=_optional(record.get("address")),
            hours=_optional(record.get("hours")),
            languages=tuple(record.get("languages") or ()),
            priority=int(record.get("priority") or 50),
            checked=str(record.get("checked") or ""),
            confidence=str(record.get("confidence") or "low"),
            sources=tuple(_source(s) for s in record["sources"]),
            note={str(k): str(v) for k, v in (record.get("note") or {}).items()},
            facts=tuple(record.get("facts") or ()),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ContactsError(f"'{path}': the contact '{name}' is not as it should be ({error!r})") from error
    if not (contact.number or contact.local or contact.address) or not contact.sources:
        raise ContactsError(f"'{path}': the contact '{name}' needs a number or address, and a source")
    return contact


def _optional(value: object) -> str | None:
    text = "" if value is None else str(value).strip()
    return text or None


def _country(value: object) -> str:
    # YAML 1.1 reads the country code NO as false.
    return "NO" if value is False else str(value)


def _source(record: Mapping[str, Any]) -> Source:
    return Source(
        publisher=str(record["publisher"]),
        title=str(record["title"]),
        url=_optional(record.get("url")),
        date=_optional(record.get("date")),
    )


def unique(contacts: Sequence[Contact]) -> tuple[Contact, ...]:
    """`contacts` without repeats, in order."""
    return tuple({contact.contact_id: contact for contact in contacts}.values())
