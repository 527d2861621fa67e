"""What the browser tests share: axe-core, waiting, and asking in the chat."""

from __future__ import annotations

import time
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
INPUT = "guitu-chat textarea#q"
# Every rule of WCAG 2.0 to 2.2, A and AA, and the best practices.
_OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@lru_cache(maxsize=1)
def _source() -> str:
    # The package carries axe-core 4.12.1; nothing else of it is used.
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def violations(page: Any) -> list[str]:
    """What axe finds wrong in the page as it is now, a line each; shadow roots and frames included."""
    # Through the debugging protocol, as the page's own policy lets no foreign script in.
    page.evaluate(f"(() => {{ if (!window.axe) {{ {_source()} }} }})()")
    found = _found(page)
    if any(rule == "target-size" for rule, _ in found):
        # What the bar at the edge happens to cover in part counts only where it is as small a bit further on.
        page.evaluate("window.scrollBy(0, window.scrollY > 90 ? -90 : 90)")
        again = _found(page)
        found = {key: line for key, line in found.items() if key[0] != "target-size" or key in again}
    return list(found.values())


def _found(page: Any) -> dict[tuple[str, str], str]:
    """The line of each violation, by rule and element."""
    found = page.evaluate("options => axe.run(document, options)", _OPTIONS)
    return {
        (
            one["id"],
            str(node["target"]),
        ): f"{one['id']} ({one['impact']}): {node['target']} {node['failureSummary'][:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    }


def ask(page: Any, text: str, ready: str = ".srcs") -> None:
    """Types and sends a question, and waits for what it should bring."""
    page.locator(INPUT).fill(text)
    page.locator(INPUT).press("Enter")
    page.locator(f"guitu-chat .a >> nth=-1 >> {ready}").first.wait_for()


def until(page: Any, expression: str, limit_s: float = 15) -> None:
    """Waits until a JavaScript expression, or what it promises, is true.

    Playwright's own `wait_for_function` takes a promise itself for true.
    """
    end = time.monotonic() + limit_s
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)
