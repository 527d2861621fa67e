"""Imports go one way, and the light packages stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
# From the bottom up: a package imports from itself and from those before it.
PACKAGES = ("retrieval", "bot", "web")
MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
# The one thin file of each outside library; None: anywhere in that package.
HOMES = {
    "faiss": {"retrieval/dense.py"},
    "bm25s": {"retrieval/lexical.py"},
    "lingua": {"retrieval/language.py"},
    "sentence_transformers": {"retrieval/encoders.py", "retrieval/export.py", "retrieval/carrier.py"},
    "openvino": {"retrieval/encoders.py", "retrieval/export.py", "retrieval/verifier.py"},
    "ir_measures": {"retrieval/evaluate.py", "bot/evaluate.py"},
}
WEB_ONLY = {"fastapi", "starlette", "uvicorn", "jinja2", "httpx"}


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the package's name"
            names.add(node.module or "")
    return names


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_there_is_something_to_look_at() -> None:
    assert {path.relative_to(REPOSITORY).parts[0] for path in MODULES} == set(PACKAGES)
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    own = PACKAGES.index(name_of(path).split("/")[0])
    above = {name for name in imported(path) if name.split(".")[0] in PACKAGES[own + 1 :]}
    assert above == set(), f"{PACKAGES[own]} may not know of {', '.join(sorted(above))}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_outside_libraries_have_one_home(path: Path) -> None:
    name = name_of(path)
    for library in {module.split(".")[0] for module in imported(path)}:
        assert name in HOMES.get(library, {name}), f"import {library} in {' or '.join(HOMES[library])} only"
        assert library not in WEB_ONLY or name.startswith("web/"), f"{library} belongs to web/"


def test_homes_exist_and_use_what_they_house() -> None:
    for library, homes in HOMES.items():
        users = {name_of(path) for path in MODULES if library in {m.split(".")[0] for m in imported(path)}}
        assert users, f"nothing imports {library} any more; take it out of this test"
        assert users <= homes


@pytest.mark.parametrize("package", ["retrieval", "bot"])
def test_a_fresh_import_is_light(package: str) -> None:
    heavy = (
        "torch",
        "faiss",
        "transformers",
        "sentence_transformers",
        "openvino",
        "bm25s",
        "lingua",
        "fastapi",
    )
    code = f"import sys, {package}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_import_cycles() -> None:
    """Modules that import one another at their top can be imported in one order only."""
    names = {name_of(path)[:-3].replace("/", ".").removesuffix(".__init__"): path for path in MODULES}
    edges: dict[str, set[str]] = {}
    for name, path in names.items():
        body = ast.parse(path.read_text("utf-8")).body
        top = [node for node in body if isinstance(node, ast.ImportFrom | ast.Import)]
        found = {node.module or "" for node in top if isinstance(node, ast.ImportFrom)}
        found |= {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
        # A package stands for its __init__, which is where its name is imported from.
        edges[name] = {module for module in found if module in names and module != name}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, "cycle: " + " → ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())
