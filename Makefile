# Two commands do everything: `make serve` and `make test`. Each installs what is missing first.
HOST ?= 127.0.0.1
PORT ?= 8000
PYTHON ?= python3.11
BIN := .venv/bin

# A process each: what a browser, a database server or a thread pool leaves behind stays out of the next part.
TEST_PARTS := tests/bot,tests/retrieval,tests/test_conftest.py,tests/test_docs.py,tests/test_layout.py,tests/test_public_api.py \
  tests/web,--ignore=tests/web/browser,--ignore=tests/web/channels tests/web/browser tests/web/channels

.PHONY: serve test install bench check
.DEFAULT_GOAL := serve

serve: .venv/.serve
	@exec $(BIN)/guitu serve --host $(HOST) --port $(PORT)

test: .venv/.dev
	@bash tests/install_system.sh
	@status=0; for part in $(TEST_PARTS); do echo "== $$part"; $(BIN)/python -m pytest $$(echo $$part | tr , ' ') || status=1; done; exit $$status

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
