"""YAML, read fast and safely."""

from __future__ import annotations

from typing import Any

import yaml

# The C loader reads the same language some ten times faster; a build of PyYAML without it still works.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Nothing of ours is nested deeper than six levels.
MAX_NESTING = 50


def load_yaml(text: str) -> Any:
    """What the YAML document `text` says, in plain Python values.

    Raises:
        yaml.YAMLError: it is no YAML; ValueError: a date or number in it does not exist.
    """
    return yaml.load(text, Loader=_LOADER)


def refuse_deep_nesting(text: str) -> None:
    """Call it before `load_yaml` on text that others wrote.

    The C loader builds nested values by recursion without a bound: 60 KB of brackets end the process. Its
    events come one by one, so that they can be counted.

    Raises:
        yaml.YAMLError: `text` is no YAML, or nested deeper than `MAX_NESTING`.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_NESTING:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
