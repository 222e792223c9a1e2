# Every command of the project. PROVIDERS=real|lab chooses Pulumi's own provider plugins or the lab's
# stand-ins, LAB=name the lab; with ACME=1 the lab's edge obtains certificates from an ACME server.
PROVIDERS ?= auto
LAB ?= lab
VENV := .venv
DOCS_VENV := .venv-docs
PYTHON := $(VENV)/bin/python
AS_ROOT := -o APT::Sandbox::User=root
RUN_LAB = $(PYTHON) -m lab --name $(LAB) --providers $(PROVIDERS) $(if $(ACME),--acme)

# In the order of a deployment's life; the test that removes the lab comes last.
LAB_END := tests/e2e/test_lab_end.py
LAB_TESTS := $(filter-out $(LAB_END),$(sort $(wildcard tests/e2e/test_lab*.py))) $(LAB_END)

# The tests of HAProxy's own behavior, which run with each of its versions.
HAPROXY_TESTS := $(patsubst %,tests/e2e/test_%.py,edge edge_access edge_bodies edge_confined edge_decides edge_grpc edge_http edge_limits edge_pages edge_retries edge_routes edge_shapes edge_tcp edge_tiers edge_tls edge_tls_renewal)

.PHONY: help up preview status smoke scale down shell ssh check-config recover reference requirements \
        image \
        test test-unit test-without-lab fuzz test-e2e test-e2e-edge test-e2e-lab audit scan bench-zero-downtime \
        bench bench-document docs recording lint types venv

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand --tabs=22

up: venv  ## build the lab and apply the stack `lab` in it
	@$(RUN_LAB) up

preview: venv  ## show what `make up` would change
	@$(RUN_LAB) preview

status: venv  ## show the VMs, their containers and their state at the edge
	@$(RUN_LAB) status

smoke: venv  ## send requests to the edge until every container has answered
	@$(RUN_LAB) smoke

scale: venv  ## VMS=3 and/or SERVICE=hello REPLICAS=5: set the number in the lab only, and apply it
	@$(RUN_LAB) scale $(if $(VMS),--vms $(VMS)) $(if $(SERVICE),--service $(SERVICE)) $(if $(REPLICAS),--replicas $(REPLICAS))

shell: venv  ## a shell inside the lab, where its network is
	@$(RUN_LAB) shell

# Unexpanded: the VM's shell expands the command, not make.
ssh: export SSH_COMMAND = $(value CMD)
ssh: venv  ## VM=web-0 CMD="docker ps" STACK=prod: a shell on a VM, or a command there; in the lab without STACK
	@$(if $(STACK),$(PYTHON) -m controller.enter --stack $(STACK),$(RUN_LAB) ssh) $(VM) --command "$$SSH_COMMAND"

down: venv  ## destroy the stack and remove the lab
	@$(RUN_LAB) down

# In parallel, as the lab often waits for its VMs. Each one's output is printed when it has ended.
test: lint types scan $(VENV)/cloud-init  ## everything
	@$(MAKE) --no-print-directory -j 2 --output-sync=target test-without-lab test-e2e-lab

test-without-lab: test-unit  ## all tests but those that boot a lab; as root
	@$(MAKE) --no-print-directory test-e2e-edge

test-unit: venv  ## no root, no network
	nice $(PYTHON) -m pytest -n 2

fuzz: venv $(VENV)/cloud-init  ## over 100,000 generated configs, each refused with a path or read back by the real readers; as root also 20,000 requests through both tiers, and an edge killed at each step
	FUZZ=full $(PYTHON) -m pytest tests/unit/test_fuzz.py tests/unit/components/data/test_data_sequences.py \
		tests/e2e/test_edge_decides.py tests/e2e/test_edge_killed.py -rs

test-e2e: venv  ## the whole graph in a separate lab, and the edge on loopback; as root
	@$(MAKE) --no-print-directory -j 2 --output-sync=target test-e2e-edge test-e2e-lab

test-e2e-edge: venv  ## the edge alone with the HAProxy of Debian 12 and with that of Debian 13, the benchmarks, and the Pulumi CLI
	nice $(PYTHON) -m pytest --durations 15 tests/e2e/test_host_keys.py tests/e2e/test_firewall.py tests/e2e/test_clients.py \
	    tests/e2e/test_edge*.py tests/e2e/test_benchmarks.py tests/e2e/test_pulumi*.py -x
	HAPROXY=3.0 nice $(PYTHON) -m pytest --durations 15 $(HAPROXY_TESTS) -x

test-e2e-lab: venv  ## the whole graph; E2E_LONG=1 has more boots: a lost VM, an edge VM, Debian's own images, and first boots that fail
	PROVIDERS=$(PROVIDERS) $(PYTHON) -m pytest --durations 25 $(LAB_TESTS) -x

audit: venv  ## the scans, and as root attacks on a running lab; `make test` includes them
	@PROVIDERS=$(PROVIDERS) $(PYTHON) -m tests.audit

scan: venv  ## bandit, known vulnerabilities of packages, and whether all downloads are pinned
	$(PYTHON) -m pytest tests/audit

# In the lab `bench` by default, because its stack is changed a lot.
bench-zero-downtime: LAB = bench
bench-zero-downtime: venv  ## RATE=10|highest SHORT=1 SCENARIOS="new image; new env" REQUESTS=100000 OUT=folder: count failed requests during changes and faults; as root
	@$(PYTHON) -m lab.bench --name $(LAB) --providers $(PROVIDERS) $(if $(RATE),--rate $(RATE)) $(if $(SHORT),--short) \
	    $(if $(SCENARIOS),--scenarios "$(SCENARIOS)") $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(OUT),--out $(OUT))

bench: venv  ## QUICK=1 ONLY=program,engine OUT=folder: measure time, memory and throughput, and write docs/benchmarks.md
	@$(PYTHON) -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(OUT),--out $(OUT))

bench-document: venv  ## write docs/benchmarks.md and its plots from the raw data again
	@$(PYTHON) -m benchmarks --document-only $(if $(OUT),--out $(OUT))

image: venv  ## OUT=file.qcow2: build a disk image for production with Docker on it; RELEASE=trixie TRAEFIK=docker://registry.example.org/library/traefik:TAG; as root
	@$(PYTHON) -m lab.images.production $(or $(OUT),$(error OUT=file.qcow2 is missing)) $(if $(RELEASE),--suite $(RELEASE)) \
	    $(if $(TRAEFIK),--traefik $(TRAEFIK)) --stack-file $(or $(FILE),Pulumi.prod.yaml)

check-config: venv  ## FILE=Pulumi.prod.yaml: list the errors of a stack file; changes nothing
	@$(PYTHON) -m components.config.check $(or $(FILE),Pulumi.prod.yaml)

recover: venv  ## STACK=prod YES=1: repair a stack after an interrupted update, and update it
	@$(PYTHON) -m recovery $(if $(STACK),--stack $(STACK)) $(if $(YES),--yes)

reference: venv  ## write docs/config.md and Pulumi.schema.json from the models
	$(PYTHON) -m components.config.reference

requirements: venv  ## UPGRADE=1: compile requirements*.in to requirements*.txt, with hashes
	@for each in requirements requirements-dev requirements-docs lab/pulumi/go/requirements; do \
	    $(VENV)/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	        --generate-hashes --no-emit-index-url --custom-compile-command "make requirements" \
	        $(if $(UPGRADE),--upgrade) $$each.in --output-file $$each.txt || exit 1; done

# NO_MKDOCS_2_WARNING silences Material's notice of its end of life; see requirements-docs.in.
docs: $(DOCS_VENV)/made  ## the documentation site in site/; a broken link or anchor is an error
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet

# Run `make down` first, to record a new lab. `script` is in bsdutils, which is always installed.
recording: venv  ## build the lab, and record that as docs/make-up.svg for the README; as root
	@script --quiet --return --echo never --log-out $(VENV)/make-up.log --log-timing $(VENV)/make-up.timing \
	    --command "$(MAKE) --no-print-directory up"
	@$(PYTHON) -m lab.recording $(VENV)/make-up.log $(VENV)/make-up.timing docs/make-up.svg --title "make up"

lint: venv docs  ## ruff, the import contracts, the layout of the code, and the documentation site
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(PYTHON) -m pytest -q tests/unit/test_layout.py

types: venv  ## mypy
	$(VENV)/bin/mypy

venv: $(VENV)/made  ## the Python environment in .venv, from requirements-dev.txt

$(VENV)/made: requirements.txt requirements-dev.txt
	@lab/bootstrap.sh $(VENV) requirements-dev.txt
	@touch $@

$(DOCS_VENV)/made: requirements-docs.txt
	@lab/bootstrap.sh $(DOCS_VENV) requirements-docs.txt
	@touch $@

# The tests only read its schema; it is neither installed nor run.
$(VENV)/cloud-init: $(VENV)/made
	@rm -rf $@ $@.part && mkdir -p $@.part/tree
	@cd $@.part && (apt-get download $(AS_ROOT) -qq cloud-init || \
	    { apt-get update -qq && apt-get download $(AS_ROOT) -qq cloud-init; })
	@dpkg-deb -x $@.part/*.deb $@.part/tree && touch $@.part/tree
	@mv $@.part/tree $@ && rm -r $@.part
