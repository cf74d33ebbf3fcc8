# Two commands matter: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo gallery rules docs messages test test-all lint bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "thalweg needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: setup
	$(BIN)/thalweg compare digits --store runs/demo.db --report runs/demo.html

gallery: setup
	$(BIN)/python docs/gallery.py

rules: setup
	$(BIN)/python docs/rules.py

# The site, in site/; THALWEG_LIVE=1 draws its pictures so that they can be turned and played.
docs: setup
	THALWEG_LIVE=1 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# What is said, collected into src/thalweg/locale, where its translations are edited.
messages: setup
	$(BIN)/python docs/messages.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Two workers of one thread each: tests of one file share what their fixtures made.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test: lint
	$(PYTEST)

test-all: lint
	$(PYTEST) -m 'slow or not slow'

bench: setup
	THALWEG_WHOLE=1 $(PYTEST) -m 'slow or not slow'
	$(BIN)/python benchmarks/population.py
	$(BIN)/python benchmarks/dispatch.py
	$(BIN)/python benchmarks/optimizers.py
	$(BIN)/python benchmarks/first_step.py
	$(BIN)/python benchmarks/groups.py
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/small_states.py
	$(BIN)/python benchmarks/matrix_rules.py
	$(BIN)/python benchmarks/linear_cross_entropy.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/cluster.py ledger
	$(BIN)/python benchmarks/cluster.py efficiency
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/sharpness.py
	$(BIN)/python benchmarks/intervals.py
	$(BIN)/python benchmarks/verdicts.py
	$(BIN)/python benchmarks/chances.py
	$(BIN)/python benchmarks/picks.py
	$(BIN)/python benchmarks/tuning.py
	$(BIN)/python benchmarks/basins.py
	$(BIN)/python benchmarks/halving.py
	$(BIN)/python benchmarks/behaviour.py
	$(BIN)/python benchmarks/time_left.py

clean:
	rm -rf .venv runs site
