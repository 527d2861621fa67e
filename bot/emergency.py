"""Whether somebody is in danger now, and the card that is then shown: numbers first, from the contact list alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.contacts import ContactList, unique
from bot.nationalities import likely_nationalities
from bot.signals import Signals
from bot.texts import text
from bot.types import Contact, Situation

# Each of these by itself can mean that somebody is in danger.
DANGERS = frozenset({"plea", "confined", "papers", "harm", "sold", "ransom", "forced", "taken", "watched", "missing"})
_WHO_AND_WHEN = frozenset({"self", "kin", "now"})
# At this sum of weights the text counts as an alarm. One danger (2.0) is enough, a weak one (1.5) needs a person,
# and a question of knowledge (-2.0) or a film (-2.5) undoes one danger. Chosen on emergency-dev.jsonl.
ALARM = 1.75
# From here on an alarm stands whatever the embedding model says; so it does on two dangers, or a plea, where nothing
# makes them a story or a thing of the past. On dev none of 1,201 plain calm texts and 18 of 3,313 hard look-alikes reach
# the sum, 3 and 11 the two dangers, 1 and 25 the plea.
CERTAIN_ALARM = 3.5
_TWO_DANGERS = 4.0
_NOT_NOW = frozenset({"story", "past", "home"})
# «Last year» says little when the text also says «now».
_PAST_AND_NOW = 2.0

MAX_CARD_CONTACTS = 6
# Countries where most compounds are, in the order in which their police lines stand on a card without a country.
HOST_COUNTRIES = ("MM", "KH", "LA", "TH", "PH", "MY", "VN", "ID", "AE")
_URGENT_KINDS = ("consular", "embassy")
_LOCAL_KINDS = ("police", "emergency", "tourist-police", "anti-trafficking", "ambulance", "ngo")
_RESCUE_KINDS = ("police", "emergency", "ambulance")
_TEXT_CHANNELS = frozenset({"sms", "telegram", "whatsapp", "wechat", "email", "app", "web"})


@dataclass(frozen=True, slots=True)
class EmergencyCard:
    """What is shown before anything else: contacts in the order to try them, fixed lines, one neutral sentence."""

    contacts: tuple[Contact, ...]
    lines: tuple[str, ...]
    notice: str


def alarm_score(found: frozenset[str], signals: Signals) -> float:
    """How strongly a text that gives the signals `found` says that somebody is in danger now; 0 without a danger."""
    dangers = found & DANGERS
    if not dangers:
        return 0.0
    score = signals.weight(dangers) + signals.weight(found & _WHO_AND_WHEN)
    score += signals.weight(found & {"knowledge", "story", "past", "home"})
    if {"past", "now"} <= found and "home" not in found:
        score += _PAST_AND_NOW
    return score


def is_certain(found: frozenset[str], signals: Signals, *, alarm: float) -> bool:
    """Whether the signals `found` leave no doubt that somebody is in danger: no model may talk that away.

    `alarm` is their `alarm_score`.
    """
    if alarm >= CERTAIN_ALARM:
        return True
    if found & _NOT_NOW:
        return False
    is_plea = "plea" in found and "knowledge" not in found
    return is_plea or signals.weight(found & DANGERS) >= _TWO_DANGERS


def is_self_harm(found: frozenset[str]) -> bool:
    """Whether somebody speaks of ending a life: theirs or that of a person close to them."""
    speaks = bool(found & {"self", "kin"})
    return "self_harm" in found and (speaks or "knowledge" not in found) and "story" not in found


def is_violence(found: frozenset[str]) -> bool:
    """Whether somebody is about to be hurt, or the writer speaks of hurting somebody."""
    return "violence" in found and "story" not in found and "past" not in found


def card_lines(situation: Situation, language: str, *, self_harm: bool, violence: bool) -> tuple[str, ...]:
    """The lines under the numbers: what to say, what to write down, what a text can do."""
    keys: list[str] = []
    if self_harm:
        keys.append("card_self_harm")
    if violence:
        keys.append("card_violence")
    if situation == "family":
        keys += ["card_family_say", "card_family_write", "card_family_pay"]
    elif not (self_harm or violence) or situation == "trapped":
        keys += ["card_say", "card_write", "card_text"]
    return tuple(text(key, language) for key in keys)


def card_notice(situation: Situation, language: str, *, self_harm: bool, violence: bool) -> str:
    """The neutral sentence above everything; it names neither a place nor a crime, lest somebody reads along."""
    if self_harm:
        return text("notice_self_harm", language)
    if violence:
        return text("notice_violence", language)
    return text("notice_family" if situation == "family" else "notice_trapped", language)


def card_contacts(
    contacts: ContactList,
    *,
    nationality: str | None,
    country: str | None,
    language: str,
    situation: Situation,
    self_harm: bool = False,
    violence: bool = False,
    watched: bool = False,
) -> tuple[Contact, ...]:
    """The numbers of the card in the order to try them; not empty while the list holds anything.

    Args:
        nationality, country: ISO codes as chosen or guessed; None: not known. For a family, `country` may be where
            the relative is or where the family is: only what works from both is chosen.
        watched: speaking may be unsafe, so channels for text stand first among equals.
    """
    nationalities = (nationality,) if nationality else likely_nationalities(language)
    homes = nationalities if situation == "family" or not country else ()
    chosen: list[Contact] = []
    if self_harm:
        places = (country, *nationalities) if country else nationalities
        lines = _lines(contacts, places, ("crisis-line",), watched)
        chosen += lines[:3]
        chosen += _lines(contacts, places[:1], ("emergency", "ambulance", "police"), watched)[:1]
    if violence and not self_harm:
        chosen += _lines(contacts, (country, *nationalities) if country else nationalities, _RESCUE_KINDS, watched)[:2]
    own = [c for n in nationalities for c in _own(contacts, n, country, situation, watched)]
    local = _lines(contacts, (country,) if country else (), _LOCAL_KINDS, watched)
    at_home = _lines(contacts, homes, ("police", "emergency", "anti-trafficking"), watched)[:2] if homes else []
    if situation == "family":
        # A short code of the country where the relative is cannot be dialled from elsewhere.
        local = [c for c in local if "*" in c.dials_from] + [c for c in local if "*" not in c.dials_from]
        chosen += own[:3] + at_home[:1] + local[:2] + at_home[1:] + own[3:]
    elif not (self_harm or violence) or situation == "trapped":
        chosen += own[:3] + local[:3] + own[3:] + local[3:]
    elif country is None:
        chosen += own[:1]
    if len(unique(chosen)) < 2 or not (country or nationality):
        chosen += _international(contacts, watched)
    return (unique(chosen) or contacts.contacts[:1])[:MAX_CARD_CONTACTS]


def _own(contacts: ContactList, nationality: str, country: str | None, situation: str, watched: bool) -> list[Contact]:
    """Lines of the person's own authorities that can be reached from where the person is."""
    found = [
        c
        for c in contacts.contacts
        if nationality in c.serves
        and c.kind in (*_URGENT_KINDS, "anti-trafficking")
        and (situation in c.situations or "trapped" in c.situations)
        and _dials(c, country)
        # The embassy in a third country is of no help; without a country the consular lines come first.
        and (c.kind != "embassy" or country is None or c.country == country)
    ]
    return _ordered(found, watched, first=("consular",) if country is None else ())


def _lines(
    contacts: ContactList, countries: Sequence[str | None], kinds: Sequence[str], watched: bool
) -> list[Contact]:
    """Lines for everybody in `countries`, by country, then by kind, then by priority."""
    found: list[Contact] = []
    for country in countries:
        there = [c for c in contacts.contacts if c.country == country and not c.serves and c.kind in kinds]
        found += _ordered(there, watched)
    return found


def _international(contacts: ContactList, watched: bool) -> list[Contact]:
    """One line for each country where most compounds are, best one that can be dialled from anywhere."""
    found = []
    for country in HOST_COUNTRIES:
        lines = _lines(contacts, (country,), ("police", "tourist-police", "emergency", "anti-trafficking"), watched)
        spoken = [c for c in lines if c.number or c.local]
        found += sorted(spoken, key=lambda c: "*" not in c.dials_from)[:1]
    return found


def _dials(contact: Contact, country: str | None) -> bool:
    return "*" in contact.dials_from or (country is not None and country in contact.dials_from)


def _ordered(found: Iterable[Contact], watched: bool, *, first: tuple[str, ...] = ()) -> list[Contact]:
    def key(contact: Contact) -> tuple[bool, bool, bool, int, str]:
        is_text = bool(_TEXT_CHANNELS & set(contact.channels))
        has_number = bool(contact.number or contact.local)
        return (
            bool(first) and contact.kind not in first,
            watched and not is_text,
            not has_number and not watched,
            contact.priority,
            contact.contact_id,
        )

    return sorted(found, key=key)
