# The two commands that matter: `make up` starts the desk, `make test` runs all tests. Both install what they need into .venv first.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST ?= $(BIN)/python -m pytest
WORKERS ?= 5

.DEFAULT_GOAL := help
.PHONY: help up down test nightly bench lint lock clean install

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

up: $(STAMP) ## start the desk: make up [EXCHANGE=simulated|binance|kraken] [PORT=3000] [DETACH=1]
	@exec $(BIN)/fks up $(if $(EXCHANGE),--exchange $(EXCHANGE)) $(if $(PORT),--port $(PORT)) $(if $(DETACH),--detach)

down: $(STAMP) ## stop the desk
	@exec $(BIN)/fks down

test: $(STAMP) ## run all tests but the nightly ones
	@scripts/prepare-tests $(BIN)/python
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder

nightly: $(STAMP) ## run the tests that take minutes
	@scripts/prepare-tests $(BIN)/python
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m nightly
	@RANDOM_TESTS=1 $(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder fks_assets_tests/{quant,stores,orders,security,imports,guarding,simulator}

bench: $(STAMP) ## measure against the limits of this machine
	@$(BIN)/python -m benchmarks

lint: $(STAMP) ## check style
	@$(BIN)/ruff check .

lock: $(STAMP) ## pin the whole dependency tree anew
	@scripts/lock

clean: ## remove caches and what plain `dagster dev` leaves; keeps .fks (your data) and .venv
	@rm -rf build .pytest_cache .ruff_cache .hypothesis .tmp_dagster_home_*
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

install: $(STAMP) ## only install

$(STAMP): requirements.lock setup.py scripts/install
	@scripts/install $(VENV)
	@touch $@
