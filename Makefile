# Everything runs in .venv; the first target that needs it creates it.
PYTHON ?= python3
BIN := .venv/bin
DEMO := --data digits --network mlp --depth 3 --activation tanh --algorithm pc --parameterization sp mup \
	--gamma-bar -1 --optimizer sgd --relaxation error --iterations 12 --widths 128 256 512 --log2-rates -5 2 0.5 \
	--seeds 6 --steps 40 --batch-size 64 --out runs/demo

.PHONY: demo test faults lint types bench peers mutants clean

demo: .venv/core
	$(BIN)/widthwise transfer $(DEMO)
	@echo "open runs/demo/report.html"

test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Sweeps that are killed, starved and cut short, for real; with Ray, so apart from `make test`.
faults: .venv/faults
	$(BIN)/python -m pytest tests/faults -o python_files="fault_*.py" -rs --durations=0 --durations-min=1

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

# BENCH= measures the slow sizes too.
BENCH ?= -m "not slow"
bench: .venv/dev
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-json=benchmarks/results/latest.json $(BENCH)

# PEERS names the rivals' interpreters and what to measure: benchmarks/README.md.
peers: .venv/dev
	$(BIN)/python -m benchmarks.peers $(PEERS)

# Each defect must make the tests that it names fail; slow, so apart from `make test`.
mutants: .venv/dev
	$(BIN)/python -m tests.mutants

clean:
	rm -rf .venv runs build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e . -c constraints.txt
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -c constraints.txt
	@touch $@

.venv/faults: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,ray,slurm]" -c constraints.txt
	@touch $@
