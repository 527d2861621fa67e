"""YAML, read fast and safely."""

from __future__ import annotations

from typing import Any

import yaml

# The C loader reads the same language some ten times faster; a build of PyYAML without it still works.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str) -> Any:
    """What the YAML document `text` says, in plain Python values.

    Raises:
        yaml.YAMLError: it is no YAML; ValueError: a date or number in it does not exist.
    """
    return yaml.load(text, Loader=_LOADER)
