# Everything a person types. Needs Python 3.11 to 3.13, make and git; the rest is installed here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c requirements.lock
FUZZ_MINUTES ?= 15
SOURCE_OPTION := $(if $(SOURCE),--source $(SOURCE))
PORT_OPTION := $(if $(PORT),--port $(PORT))

.DEFAULT_GOAL := help
.PHONY: help run test fuzz lint ui clean

help: ## List what can be done
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

run: $(VENV)/.installed ## Set up, then load, rebuild, audit and publish (SOURCE=name for another source)
	@$(BIN)/winback run $(SOURCE_OPTION)

ui: $(VENV)/.installed ## Open the Dagster UI on http://localhost:3000 (SOURCE=name, PORT=number)
	@$(BIN)/winback ui $(SOURCE_OPTION) $(PORT_OPTION)

test: $(VENV)/.installed-dev ## Set up with development tools, then test
	@$(BIN)/python -m pytest

fuzz: $(VENV)/.installed-dev ## Look for examples that break a property (FUZZ_MINUTES=15)
	@$(BIN)/python -m pytest --fuzz-minutes $(FUZZ_MINUTES) --dist load --timeout 0

lint: $(VENV)/.installed-dev ## Check style, models and definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/sqlfluff lint dbt
	$(BIN)/dbt parse --project-dir dbt --profiles-dir dbt --warn-error --no-partial-parse
	DAGSTER_HOME= $(BIN)/dg check defs

clean: ## Remove the virtual environment and what dbt built; data stays
	rm -rf $(VENV) dbt/target dbt/logs

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Creating $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml requirements.lock
	@echo "Installing (about a minute, once)" >&2
	@$(PIP_INSTALL) -e '.[samples]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the development tools (once)" >&2
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@
