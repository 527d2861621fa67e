"""The public surface of each package is the list that it says."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import retrieval

REPOSITORY = Path(__file__).resolve().parents[1]


def public_names(module: ModuleType) -> set[str]:
    """Names that an `__init__` binds by importing them, the lazy ones included."""
    assert module.__file__ is not None
    names: set[str] = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == module.__name__:
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_the_list_is_what_is_imported() -> None:
    assert set(retrieval.__all__) == public_names(retrieval)


def test_the_list_is_sorted_and_has_no_repeats() -> None:
    names = list(retrieval.__all__)
    assert len(names) == len(set(names)) > 20
    # Constants first, then classes, then functions, as ruff sorts them.
    groups = [0 if name.isupper() else 1 if name[0].isupper() else 2 for name in names]
    assert groups == sorted(groups)


@pytest.mark.parametrize("name", retrieval.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(retrieval, name)
    if callable(value):
        assert value.__doc__, f"{name} has no docstring"
        assert value.__module__.startswith("retrieval.")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = retrieval.nothing


def test_star_import_gives_the_list() -> None:
    code = "from retrieval import *; import retrieval; print(set(retrieval.__all__) <= set(globals()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("package", ["retrieval", "bot", "web"])
def test_packages_are_typed_and_say_what_they_are(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file()
    assert importlib.import_module(package).__doc__
