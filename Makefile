# Every target sets up .venv first: seconds when nothing changed, a few minutes on a fresh clone.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p && break; done)
ARGS ?=
BOOTSTRAP = $(or $(PYTHON),$(error Python 3.11, 3.12 or 3.13 is needed and none is on the PATH)) ops/build/bootstrap.py
VENV_PYTHON = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup run test lint proto bench lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

setup:  ## make .venv and fetch the embedded servers
	@$(BOOTSTRAP) run

run: setup  ## trade on paper; ARGS="--speed 60 --for 120s" goes to `titan up`
	@.venv/bin/titan up $(ARGS)

test:  ## every test; ARGS="tests/titan -k journal" narrows them
	@$(BOOTSTRAP) dev
	@$(VENV_PYTHON) -m pytest $(ARGS)

lint:  ## linters, types, imports, contracts, generated files; ARGS="ruff mypy" picks some
	@$(BOOTSTRAP) dev
	@$(VENV_PYTHON) ops/build/tools.py
	@$(VENV_PYTHON) ops/build/lint.py $(ARGS)

proto:  ## generate protos/*_pb2* again
	@$(BOOTSTRAP) dev
	@$(VENV_PYTHON) ops/build/protos.py

bench: setup  ## measure speed on this machine; ARGS names one bench
	@.venv/bin/titan bench $(ARGS)

lock:  ## resolve requirements/*.lock again from pyproject.toml
	@$(BOOTSTRAP) dev
	@$(VENV_PYTHON) ops/build/lock.py

clean:  ## remove .venv and caches; trading data in .titan stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
