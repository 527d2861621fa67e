"""The documents say what there is: every setting, every command, every package, and no machine of ours."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from web.cli import main
from web.settings import PREFIX, PROJECT_DIR, Settings

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text("utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
PINNED = [
    *PROJECT["dependencies"],
    *(p for group in PROJECT["optional-dependencies"].values() for p in group),
]


def rows(text: str) -> dict[str, list[str]]:
    """The cells of every table row, by the first."""
    found = {}
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            first, *rest = (cell.strip() for cell in line.strip().strip("|").split("|"))
            found[first] = rest
    return found


def helped(*arguments: str) -> str:
    """What the command line says of itself."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as raised:
        main([*arguments, "--help"])
    assert raised.value.code == 0
    return out.getvalue()


def commands() -> list[str]:
    """The commands that `guitu --help` lists."""
    _, _, listed = helped().partition("COMMAND")
    return list(dict.fromkeys(re.findall(r"^    ([a-z][a-z-]+)(?: |$)", listed, re.MULTILINE)))


def test_the_help_lists_commands() -> None:
    assert {"serve", "ask", "check-offer", "ingest", "index", "search", "evaluate", "corpus"} <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_the_readme_names_every_command(command: str) -> None:
    assert re.search(rf"`guitu {command}[ `]", README), f"README does not tell of `guitu {command}`"


def test_the_readme_names_no_command_that_is_not_there() -> None:
    named = set(re.findall(r"`guitu ([a-z-]+)", README + CONTRIBUTING))
    assert named
    assert named <= set(commands())


@pytest.mark.parametrize("command", ["index", "corpus", "channels"])
def test_the_readme_names_the_actions_too(command: str) -> None:
    actions = re.search(r"\{([a-z,]+)\}", helped(command))
    assert actions
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `guitu {command}")]
    missing = [action for action in actions[1].split(",") if f" {action}`" not in row and f"`{action}`" not in row]
    assert missing == []


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_readme_tells_of_every_setting_as_it_is(name: str) -> None:
    field = Settings.model_fields[name]
    default, meaning = rows(README)[f"`{PREFIX}{name.upper()}`"]
    assert meaning == field.description
    shown = field.default
    if isinstance(shown, Path) and shown.is_absolute():
        shown = shown.relative_to(PROJECT_DIR)
    if isinstance(shown, bool):
        shown = str(shown).lower()
    assert default.strip("`") == ("" if shown in (None, ()) else str(shown))


def test_the_readme_names_no_setting_that_is_not_there() -> None:
    named = set(re.findall(rf"`{PREFIX}([A-Z_]+)`", README))
    assert named
    assert named == {name.upper() for name in Settings.model_fields}


def test_the_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    named = set(
        re.findall(
            r"\bmake ([a-z]+)\b",
            " ".join(re.findall(r"`make [a-z]+|^make [a-z]+", README + CONTRIBUTING, re.MULTILINE)),
        )
    )
    assert {"serve", "test"} <= named
    assert named <= targets
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert targets == set(phony[1].split())


def test_the_readme_says_what_the_pins_need() -> None:
    assert PROJECT["requires-python"] == ">=3.11,<3.12"
    assert "Python 3.11" in README


@pytest.mark.parametrize("pin", PINNED)
def test_every_package_is_pinned_and_has_a_reason(pin: str) -> None:
    name, exact, version = pin.partition("==")
    assert exact, f"{pin} is not pinned exactly"
    assert re.fullmatch(r"[0-9][0-9A-Za-z.]*", version)
    package = re.sub(r"\[.*\]", "", name)
    reasons = [why for named, (why, *_) in rows(CONTRIBUTING).items() if package in re.split(r"[ ,]+", named)]
    assert len(reasons) == 1, f"CONTRIBUTING gives {len(reasons)} reasons for {package}"
    assert len(reasons[0]) > 5


def test_no_package_is_explained_that_is_not_there() -> None:
    _, _, section = CONTRIBUTING.partition("## Packages and why")
    section = section.partition("\n## ")[0]
    pinned = {re.split(r"[\[=]", pin)[0] for pin in PINNED}
    named = {package for cell in rows(section) if cell != "Package" for package in re.findall(r"[A-Za-z][\w-]*", cell)}
    assert len(named) > 20
    assert named == pinned


def test_links_in_the_documents_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (REPOSITORY / name).read_text("utf-8")
        for path in re.findall(r"`((?:retrieval|bot|web|corpus|tests)/[\w./-]*)`", text):
            assert (REPOSITORY / path).exists(), f"{name} names {path}"


# Written in parts, so that this file does not hold them.
MACHINE = re.compile(
    "|".join(
        re.escape(first + second)
        for first, second in (
            ("/wor", "k/"),
            ("/tmp/gui", "tu"),
            ("/tmp/bash", "_jobs"),
            ("py", "pi.org"),
            ("pythonhos", "ted.org"),
            ("download.py", "torch.org"),
            ("registry.npm", "js"),
            ("index-", "url"),
            ("find-", "links"),
        )
    )
)


def test_no_file_names_a_machine_of_ours_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True)
    paths = [REPOSITORY / name.decode() for name in listed.stdout.split(b"\0") if name]
    assert len(paths) > 100
    found = {}
    for path in paths:
        if path.is_file():
            hit = MACHINE.search(path.read_bytes().decode("utf-8", "replace"))
            if hit:
                found[path.relative_to(REPOSITORY).as_posix()] = hit[0]
    assert found == {}
