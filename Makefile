# Two commands do everything: `make serve` and `make test`. Each installs what is missing first.
HOST ?= 127.0.0.1
PORT ?= 8000
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: serve test install bench check
.DEFAULT_GOAL := serve

serve: .venv/.serve
	@exec $(BIN)/guitu serve --host $(HOST) --port $(PORT)

test: .venv/.dev
	@bash tests/install_system.sh
	@$(BIN)/python -m pytest

install: .venv/.serve

bench: .venv/.dev
	@$(BIN)/python -m tests.bench

check: .venv/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# The stamps hold the time of the last install; a changed pyproject.toml installs again.
.venv/.serve: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or name it with make PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || { echo "making the virtual environment .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing packages (once; about 1.5 GB with PyTorch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on -e .
	@touch $@

.venv/.dev: .venv/.serve pyproject.toml
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
