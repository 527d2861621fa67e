"""What the operator sees of an account: what is wrong, what waits, what did not arrive."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from web.channels.base import Account
from web.database import Database, events, outbox
from web.inbox import OPEN
from web.messaging.hub import Hub
from web.messaging.watch import GIVEN_UP, UNSENT, AccountState
from web.records import read_parts


async def health(hub: Hub, account: Account) -> list[str]:
    """What the platform says is wrong with an account."""
    try:
        return await hub.adapters[account.platform].health(hub.context(account))
    except Exception as error:
        return [f"cannot be asked: {type(error).__name__}"]


def tally(connection: Connection, account: Account, state: AccountState) -> str:
    """What the operator has to know of an account: what waits, and what did not arrive, each with its reasons."""
    mine = outbox.c.channel == account.platform, outbox.c.account == account.name
    rows = connection.execute(select(outbox.c.state, func.count()).where(*mine).group_by(outbox.c.state)).all()
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    open_query = select(func.count()).where(
        events.c.channel == account.platform, events.c.account == account.name, events.c.state.in_(OPEN)
    )
    n_open = connection.execute(open_query).scalar()
    done = counts.get("sent", 0) + counts.get("handed", 0) + counts.get("moved", 0)

    def reasons(which: ColumnElement[bool]) -> str:
        query = select(outbox.c.code, func.count()).where(*mine, which, outbox.c.code != "").group_by(outbox.c.code)
        codes = connection.execute(query.order_by(func.count().desc()).limit(3)).all()
        return f" ({'; '.join(f'{code}: {count}' for code, count in codes)})" if codes else ""

    return (
        f"to answer {n_open}, waiting {state.n_unsent}{reasons(UNSENT)}, sent {done}, "
        f"held for the person {counts.get('held', 0)}, given up {state.n_given_up}{reasons(GIVEN_UP)}"
    )


def find_answer(
    connection: Connection, database: Database, channel: str, account: str, dedupe: str
) -> tuple[str, list[str]]:
    """The state of a message by the platform's key, and what is or was sent."""
    vault = database.vault
    query = select(events.c.id, events.c.state).where(
        events.c.channel == channel,
        events.c.account == account,
        events.c.dedupe == vault.hide("dedupe", dedupe),
    )
    row = connection.execute(query).first()
    if row is None:
        return "", []
    rows = connection.execute(select(outbox).where(outbox.c.event_id == row.id).order_by(outbox.c.seq)).all()
    texts = [
        f"[{one.state}] " + "\n".join(part.text for part in read_parts(vault.open(one.payload)))
        for one in rows
        if one.payload is not None
    ]
    return row.state, texts
