# Each line is a command that a person could type; the environment is in .venv.
PYTHON ?= python3

.PHONY: run test lint bench lock train-cast

run:
	$(PYTHON) dev/install.py run
	.venv/bin/troupe run

test:
	$(PYTHON) dev/install.py test
	# The longest files first, so that no worker waits for the other at the end.
	.venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder tests/trainer tests/test_*.py tests/connectors tests

lint:
	$(PYTHON) dev/install.py test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# What is quickest on this machine, then how fast replies are made, against one Llama object behind a lock; fifteen minutes on two cores.
bench:
	$(PYTHON) dev/install.py run
	.venv/bin/troupe bench --tune
	.venv/bin/troupe bench --serial

# The shipped company's adapter again, after its characters or the bundled model have changed. Stopped, it goes on where it was.
train-cast:
	$(PYTHON) dev/install.py test
	.venv/bin/troupe-train run trainer/starter.toml

lock:
	.venv/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
