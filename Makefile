# Roundhouse. `make demo` runs the main job, `make test` the tests; both do all their set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
UV_VERSION := 0.13.9
# uv sees wheels on this disk (a CPU build of torch, say) only where it is told to look.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export ROUNDHOUSE_HOME ?= var
export ROUNDHOUSE_SERVE_PYTHON ?= $(CURDIR)/.venv/serve/bin/python

GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
digest = $(shell cat $(1) | sha256sum | cut -c1-16)
BOOT := .venv/boot/.uv-$(UV_VERSION)
FLOW := .venv/flow/.lock-$(call digest,infra/locks/dev.txt pyproject.toml infra/serve_cpu/*.py)
SERVE := .venv/serve/.lock-$(GPU)-$(call digest,infra/locks/serve-$(GPU).txt infra/serve_cpu/*.py)
TOOLS := .venv/tools/.lock-$(call digest,infra/locks/tools.txt)
CLUSTER := .venv/cluster/.lock-$(call digest,infra/locks/cluster.txt)
UV := .venv/boot/bin/uv
BIN := .venv/flow/bin
ROUNDHOUSE := $(BIN)/roundhouse

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# --- environments: made once for each content of their lock ---

$(BOOT):
	@echo "uv $(UV_VERSION)"
	@rm -rf .venv/boot && $(PYTHON) -m venv .venv/boot
	@.venv/boot/bin/python -m pip install --quiet uv==$(UV_VERSION) 2>&1 | grep -v '^WARNING: Location' || true
	@test -x $(UV) && touch $@

$(FLOW): $(BOOT)
	@echo "flow environment (.venv/flow)"
	@rm -rf .venv/flow && $(UV) venv --quiet --python $(PYTHON) .venv/flow
	@$(UV) pip install --quiet --python $(BIN)/python -r infra/locks/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@$(BIN)/python infra/serve_cpu/install.py hook $(BIN)/python
	@touch $@

$(SERVE): $(FLOW)
	@echo "serving environment (.venv/serve, $(GPU))"
	@rm -rf .venv/serve && $(UV) venv --quiet --python $(PYTHON) .venv/serve
	@$(UV) pip sync --quiet --python .venv/serve/bin/python infra/locks/serve-$(GPU).txt
	@$(BIN)/python infra/serve_cpu/install.py serve .venv/serve/bin/python
	@touch $@

$(TOOLS): $(BOOT)
	@echo "checkers (.venv/tools)"
	@rm -rf .venv/tools && $(UV) venv --quiet --python $(PYTHON) .venv/tools
	@$(UV) pip install --quiet --python .venv/tools/bin/python -r infra/locks/tools.txt
	@touch $@

$(CLUSTER): $(BOOT)
	@echo "server environment with PostgreSQL and Redis (.venv/cluster)"
	@rm -rf .venv/cluster && $(UV) venv --quiet --python $(PYTHON) .venv/cluster
	@$(UV) pip sync --quiet --python .venv/cluster/bin/python infra/locks/cluster.txt
	@touch $@

.PHONY: env flow serve
env: $(FLOW) $(SERVE) ## make both environments
flow: $(FLOW) ## make the flow environment: Prefect, AutoRound, tools
serve: $(SERVE) ## make the serving environment: vLLM

# --- running ---

.PHONY: demo up down status
demo: env ## make a release of the small base model on the embedded stack
	@$(ROUNDHOUSE) up
	@$(ROUNDHOUSE) release roundhouse/gemma-4-tiny-it --to roundhouse/gemma-4-tiny-it-NVFP4 \
		--recipe demo --write $(ROUNDHOUSE_HOME)/demo.json

up: env ## start the embedded stack
	@$(ROUNDHOUSE) up
down: flow ## stop the embedded stack
	@$(ROUNDHOUSE) down
status: flow ## say what of the embedded stack runs
	@$(ROUNDHOUSE) status

# --- checking ---

.PHONY: test check docs format bench cluster faults browser lock
test: env browser $(TOOLS) ## run all tests
	@$(BIN)/python -m pytest $(ARGS)

check: flow $(TOOLS) ## lint, types, import contracts, configuration files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/python -m mypy
	@$(BIN)/yamllint --strict prefect.yaml tasks/core/recipes infra
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec infra/compose.yaml
	@.venv/tools/bin/hadolint infra/docker/Dockerfile
	@.venv/tools/bin/python -m infra.checks.charts
	@.venv/tools/bin/python -m infra.checks.terraform
	@$(BIN)/shellcheck .ci/run
	@$(BIN)/python -m infra.reference --check

docs: flow ## write docs/reference from the code
	@$(BIN)/python -m infra.reference

format: flow ## format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: flow ## measure our tuner against AutoRound's on this machine
	@$(BIN)/python -m tests.bench.run $(ROUNDHOUSE_HOME)/bench

cluster: env $(CLUSTER) ## twelve releases by one to four machines, then killed at random; needs root
	@$(BIN)/python -m tests.cluster.run $(ROUNDHOUSE_HOME)/cluster $(ARGS)

faults: env ## break one thing at a time while a release is made; POINTS=a,b for some; needs root
	@$(BIN)/python -m tests.faults.run $(ROUNDHOUSE_HOME)/faults --points "$(POINTS)" --page

browser: ## Debian's Chromium, for the tests that drive the UI
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } \
		|| echo "no chromium: the browser tests will fail; type: sudo apt-get install chromium"

lock: $(BOOT) ## resolve the locks again
	@for name in server tools cluster; do $(UV) pip compile --quiet --no-header --no-annotate \
		--python-version 3.11 infra/locks/$$name.in -o infra/locks/$$name.txt; done
	@for name in dev flow; do sed -i '/^torch==/d' infra/locks/$$name.txt; \
		$(UV) pip compile --quiet --no-header --no-annotate --python-version 3.11 \
			infra/locks/$$name.in -o infra/locks/$$name.txt; \
		sed -i -E 's/^(torch==[0-9.]+)\+cpu/\1/' infra/locks/$$name.txt; done
