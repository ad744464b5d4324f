# make demo: install, fetch the embedded models, ask and report on real clips.
# make test: the tests that need no weights.  make test-real: those that do.
# make test-browser: reports, looked at in a Chromium.
# make test-long: kills and damage by the hundred, some minutes.  make lint: all checks.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.installed
PLUGINS := healthcare media security

.PHONY: demo test test-browser test-long test-real lint docs clean
.DELETE_ON_ERROR:

$(DONE): pyproject.toml $(PLUGINS:%=plugins/%/pyproject.toml) constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: Python 3.11 or newer is needed; make demo PYTHON=python3.12' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing (torch first, about 2 GB in all; once)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
	  --editable '.[all,dev]' $(PLUGINS:%=--editable plugins/%)
	@touch $@

demo: $(DONE)
	$(BIN)/python examples/demo.py

test: $(DONE)
	$(BIN)/python -m pytest -n 2 -m 'not real and not long and not browser'

test-browser: $(DONE)
	@tools/chromium.sh
	$(BIN)/python -m pytest -rs -m browser

test-long: $(DONE)
	$(BIN)/python -m pytest -n 2 -m long

test-real: $(DONE)
	$(BIN)/agentkit models pull
	$(BIN)/python examples/clips.py > /dev/null
	$(BIN)/python -m pytest -m real

lint: $(DONE)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_docs.py

docs: $(DONE)
	$(BIN)/python tools/make_cli_docs.py > docs/cli.md

clean:
	rm -rf $(VENV) build dist *.egg-info
