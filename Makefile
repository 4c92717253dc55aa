# make book       the site with every chapter executed; nothing is done twice
# make serve      the site on this machine's port 8000 (make serve PORT=...)
# make chapters   executes the chapters in place: renews the committed outputs
# make test       every check, as in CI
# make test-long  the tests that take many minutes, or a quiet machine
# make test-kernels   mamba-ssm's own kernels, run on a CPU; installs them and Triton into a folder of their own (1 GB)
# make test-cluster   the Snakefile, here and on a Slurm of one node; installs Snakemake into .venv
# make bench      the speed beside that of transformers' GPT-2, into results/ and the book's appendix
# make bench-gpu  the tests that need a GPU, and how fast a step and a stack of seeds are on it, into results/
# make gpu        adds mamba-ssm's kernels, on a machine with a CUDA GPU
# make page-models  the networks that answer in the page, from the weights of stored runs, and their still picture
# make lock       resolves requirements*.txt anew: every package's version and hashes, into requirements*.lock
# make clean      removes what was built (not .venv)

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
BOOK := $(BIN)/python -m bookmaker
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
STAMPS := build/stamps

LIBRARY := $(shell find lib -name '*.py')
TESTS := $(shell find $(wildcard tests) -type f -not -path '*/__pycache__/*')
DATA := _toc.yml $(shell find $(wildcard chapters results) -type f -not -path 'results/runs/*' -not -path '*/.*')
CHAPTERS := $(wildcard chapters/*.ipynb) $(wildcard chapters/*.toml)
OVERVIEW := book/static/overview.svg
INSTALLED := .venv/installed
CLUSTER := .venv/cluster
KERNELS := build/kernels
SNAKEMAKE := Snakefile $(shell find $(wildcard clusters) -type f)
# Empty where the environment's programs do not run: their Python, or the folder where they were installed, may be gone.
SOUND := $(shell $(BIN)/$(if $(wildcard $(BIN)/pip),pip,python) --version 2>/dev/null)

.NOTPARALLEL:
.PHONY: anew book serve chapters test test-long test-kernels test-cluster check compare test-site bench bench-gpu gpu page-models lock clean

book: $(INSTALLED) $(OVERVIEW)
	@$(BOOK) chapters
	@$(BOOK) site

# A test compares it with what the results give; a date that is older than theirs costs one drawing.
$(OVERVIEW): $(INSTALLED) tools/draw_overview.py results/several-tokens-census.parquet $(wildcard lib/lookahead/figures/*.py)
	$(BIN)/python tools/draw_overview.py $@

serve: book
	@echo "http://localhost:$(PORT)/  (Ctrl-C stops it)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory build/site/html

chapters: $(INSTALLED) $(OVERVIEW)
	@$(BOOK) chapters --in-place

test: $(STAMPS)/ruff $(STAMPS)/pyright check $(STAMPS)/unit compare test-site $(STAMPS)/browser
	@echo "all checks passed"

$(STAMPS)/ruff: $(INSTALLED) $(LIBRARY) $(TESTS) $(CHAPTERS) pyproject.toml
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/pyright: $(INSTALLED) $(LIBRARY) pyproject.toml
	$(BIN)/pyright
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/unit: $(INSTALLED) $(LIBRARY) $(TESTS) $(DATA) pyproject.toml
	OMP_NUM_THREADS=1 $(BIN)/pytest tests -n 2 --dist loadfile --durations=25
	@mkdir -p $(STAMPS) && touch $@

check: $(INSTALLED)
	@$(BOOK) check

compare: $(INSTALLED)
	@$(BOOK) compare

test-site: $(INSTALLED)
	@$(BOOK) site --committed --output build/test-site

# The site's stamp changes when the site does.
build/test-site/stamp: test-site
	@:

$(STAMPS)/browser: $(INSTALLED) build/test-site/stamp $(filter tests/bookmaker/% tests/helpers/% tests/conftest.py,$(TESTS))
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser tests/bookmaker -n 2
	@mkdir -p $(STAMPS) && touch $@

test-long: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m long tests

test-kernels: $(STAMPS)/kernels

# Triton's interpreter runs what would be compiled for a GPU.
$(STAMPS)/kernels: $(KERNELS)/installed $(filter lib/lookahead/models/%,$(LIBRARY)) \
		$(filter tests/kernels/% tests/helpers/%,$(TESTS)) pyproject.toml
	OMP_NUM_THREADS=1 TRITON_INTERPRET=1 MAMBA_DETERMINISTIC=1 PYTHONPATH=$(KERNELS) $(BIN)/pytest -m kernels tests/kernels -n 2
	@mkdir -p $(STAMPS) && touch $@

$(KERNELS)/installed: $(INSTALLED) requirements-gpu.txt requirements-kernels.txt tools/install_mamba_ssm.py
	@rm -rf $(KERNELS)
	$(BIN)/python tools/install_mamba_ssm.py --beside $(KERNELS)
	@touch $@

test-cluster: $(STAMPS)/cluster

$(STAMPS)/cluster: $(CLUSTER) $(LIBRARY) $(TESTS) $(SNAKEMAKE) pyproject.toml
	OMP_NUM_THREADS=1 $(BIN)/pytest -m cluster -rs tests/clusters/test_cluster.py -n 2
	@mkdir -p $(STAMPS) && touch $@

bench: $(INSTALLED)
	@mkdir -p build
	$(BIN)/pytest benchmarks/bench_speed.py --benchmark-timer=time.process_time --benchmark-json=build/bench.json \
		--benchmark-sort=fullname --benchmark-columns=median,iqr,rounds
	$(BIN)/python benchmarks/bench_speed.py build/bench.json results/speed.json
	$(BIN)/python benchmarks/bench_memory.py results/memory.json
	@$(BOOK) chapters --in-place

gpu: $(INSTALLED)
	@$(BIN)/python tools/install_mamba_ssm.py

bench-gpu: $(INSTALLED)
	$(BIN)/pytest tests -m gpu -s
	$(BIN)/python benchmarks/bench_step.py results/gpu-step.json
	$(BIN)/python benchmarks/bench_stacked.py results/gpu-stacked.json

# The stamp is written last: after an installation that failed, the next call installs again. pip checks the hash of
# every file but torch's: which build of it is installed, and from which index, is a choice (see README).
$(INSTALLED): requirements.txt requirements.lock pyproject.toml $(if $(SOUND),,anew)
	@rm -f $@
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --no-deps -r requirements.lock
	$(INSTALL) --no-build-isolation -r requirements.txt
	@touch $@

anew:
	@rm -rf .venv

$(CLUSTER): $(INSTALLED) requirements-cluster.lock
	@rm -f $@
	$(INSTALL) --require-hashes --no-deps -r requirements-cluster.lock
	@touch $@

# What was trained is not trained again; weights that are not here are.
page-models: $(INSTALLED)
	$(BIN)/lookahead run in-the-page --profile census --weights
	$(BIN)/python tools/export_page_models.py book/static

lock: $(INSTALLED)
	$(INSTALL) uv
	$(BIN)/python tools/lock_requirements.py

clean:
	rm -rf build
