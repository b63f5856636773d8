# Needs Python 3.11 to 3.13 with pip, and make. Everything else is installed into .venv.
#
#   make demo     the living shop, the platform and its UI at http://127.0.0.1:3000; Ctrl-C stops it all
#   make test     every test, with the servers they need, on every core
#   make lint     style, types, import rules, SQL
#   make bench    measure the main job and keep the result in benchmarks/results
#   make bench-load, bench-types, bench-scale, bench-quality, bench-drift
#                 measure loading beside other tools; types that break loaders; growth and the old way; what is
#                 found and mended of planted errors; drift and false alarms
#   make soak     kill the platform at every commit point and at random moments, and compare the end
#   make docs     write the generated reference anew
#   make clean    remove the environment and everything generated, but no state
#
# ARGS passes arguments on: make demo ARGS="--help", make test ARGS="tests/unit -x".

.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench bench-load bench-types bench-scale bench-quality bench-drift soak docs clean

BIN := .venv/bin
# Written last, so that an interrupted installation is repeated.
INSTALLED := .venv/.installed
ARGS ?=

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 14

$(INSTALLED): requirements.lock pyproject.toml scripts/install
	@scripts/install
	@touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/shopsphere demo $(ARGS)

test: $(INSTALLED)
	@scripts/install_test_servers
	@$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks.main_job $(ARGS)

soak: $(INSTALLED)
	@scripts/install_test_servers
	@$(BIN)/python -m benchmarks.soak $(ARGS)

bench-load bench-types bench-scale bench-quality bench-drift: bench-%: $(INSTALLED)
	@scripts/install_test_servers
	@$(BIN)/python -m benchmarks.$* $(ARGS)

docs: $(INSTALLED)
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m shopsphere_assets.diagnosis.settings_reference > docs/settings.md

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf dbt_project/target dbt_project/logs dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
