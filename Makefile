# Each line is a command that a person could type; the environment is in .venv.
PYTHON ?= python3

.PHONY: run test lint lock

run:
	$(PYTHON) dev/install.py run
	.venv/bin/troupe run

test:
	$(PYTHON) dev/install.py test
	.venv/bin/python -m pytest

lint:
	$(PYTHON) dev/install.py test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

lock:
	.venv/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
