# `make demo` and `make test` set up what they need. A path with a space in it is fine: everything is relative.
PYTHON ?= python3
VENV := .venv

.PHONY: demo test check install lock clean

demo: install
	$(VENV)/bin/python -m lakehouse demo

test: install
	$(VENV)/bin/python -P tests/kernels.py
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15

# Linters, types, the import contract and Dagster's own checks of the definitions.
check: install
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m dagster definitions validate -w workspace.yaml

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(VENV)/.installed

# Needs uv. Pins everything that pyproject.toml asks for, for Python 3.11 to 3.13.
lock:
	uv pip compile pyproject.toml --extra dev --extra explore --extra postgres --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --no-strip-extras -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis dbt/target dbt/logs
