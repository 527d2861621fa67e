"""Which of the six situations a person writes from."""

from __future__ import annotations

from collections.abc import Mapping

from bot.types import Conversation, Situation

_DANGERS_TO_SELF = frozenset({"confined", "papers", "harm", "sold", "taken", "watched", "forced", "plea", "ransom"})

# What the rules count beside the learned scores. Chosen on dev, hands held out: 0.950 to 0.971 of the plain questions are
# then told right, and of indirect ones as many as without (0.72).
RULES_BONUS = 1.0


def situation_by_rules(found: frozenset[str], *, is_alarm: bool) -> Situation:
    """The situation that the signals `found` speak of."""
    if is_alarm:
        # «My boss took our passports» names no relative; «my brother» does.
        return "family" if "kin" in found else "trapped"
    if "home" in found and not found & {"offer", "travel"}:
        return "returned"
    if found & {"missing", "ransom"} and ("kin" in found or "ransom" in found) and "story" not in found:
        return "family"
    if "travel" in found:
        return "about-to-travel"
    if "home" in found:
        return "returned"
    if "offer" in found:
        return "weighing-offer"
    if "kin" in found and found & _DANGERS_TO_SELF:
        return "family"
    return "general"


def situation_by_scores(scores: Mapping[Situation, float], *, found: frozenset[str], is_alarm: bool) -> Situation:
    """The situation with the highest learned score; in an alarm it is one of the two that know danger.

    Of plain wording the rules know what to think: what the signals `found` speak of gets a bonus.
    """
    possible: tuple[Situation, ...] = ("trapped", "family") if is_alarm else tuple(scores)
    by_rules = situation_by_rules(found, is_alarm=False)

    def value(situation: Situation) -> float:
        is_named = situation == by_rules != "general"
        return scores[situation] + RULES_BONUS * is_named

    return max(possible, key=value)


def in_conversation(
    situation: Situation, conversation: Conversation, *, is_alarm: bool, is_home: bool, is_follow_up: bool
) -> Situation:
    """The situation with the turns before in mind.

    A trapped conversation stays trapped, and a family's stays a family's, unless the person says that it is over or
    that somebody else is meant. A follow-up («will they find this message?», «and at night?») says neither of danger nor
    of where the person is by itself.
    """
    if not conversation.turns:
        return situation
    before = conversation.turns[-1].situation
    if before == "trapped" and not is_home and situation != "returned":
        return "family" if is_alarm and situation == "family" else "trapped"
    if situation == "general" or (is_follow_up and not is_alarm and not is_home):
        return before
    if before == "family" and situation not in ("trapped", "returned") and not is_alarm:
        return "family"
    return situation
