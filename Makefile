# Every target builds one .venv by itself; Python 3.11 or newer and its pip is all that is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# What `make constraints` pins: frameworks whose agents are recorded have environments of their own.
EXTRAS := query s3 timestamp worker sql cli api mcp devstack arrow pandas polars
CAPTURE := all adk strands crewai

# Three for each of two cores: the tests of whole pipelines mostly wait.
WORKERS ?= 6

# Tests start a thousand processes: what one has compiled, the next must find. Empty is off.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-fast test-long test-all secure schemathesis faults faults-red attacks attacks-red kills campaigns soak outage check format bench bench-full docs constraints clean capture environments

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# By uv, which takes a third of pip's time; pip follows where only its own settings name a reachable index.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@echo "building $(VENV) …" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/[^\]$$/p' constraints.txt > $(VENV)/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r constraints.txt \
		|| $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## see recorded agent runs go through Kafka and ClickHouse, and come back
	@$(BIN)/trailhouse demo

test: $(READY) ## run the tests on a real broker and the real engine, all but the long ones
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long"

test-long: $(READY) ## run the long ones: kills, forks and interrupts at each step, every question at every door
	@$(BIN)/python -m pytest -n 5 --dist loadfile -m long tests/unit tests/property tests/e2e

# One session: its processes collect the tests and start their brokers and engines once, and only one end has idle cores.
test-all: $(READY) ## run both, as continuous integration does
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-fast: $(READY) ## run the tests that need no Kafka and no ClickHouse
	@$(BIN)/python -m pytest -m "not long" tests/unit tests/property

capture: $(CAPTURE:%=capture-%) ## record real agent frameworks with scripted models, each environment by itself

environments: $(CAPTURE:%=$(VENV)-capture-%/.ready) ## build the environments of `make capture`

$(CAPTURE:%=capture-%): capture-%: $(VENV)-capture-%/.ready
	@$(VENV)-capture-$*/bin/python -m pytest --rootdir . -c tests/capture/pytest.ini tests/capture/test_environment.py tests/capture/$*

$(VENV)-capture-%/.ready: tests/capture/%/requirements.txt pyproject.toml $(READY)
	@echo "building $(@D) …" >&2
	@[ -x $(@D)/bin/python ] || $(BIN)/uv venv --quiet --python $(BIN)/python $(@D)
	@$(BIN)/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

secure: $(READY) ## run every part as a user of its own, on three brokers with TLS, log-ins and ACLs
	@$(BIN)/python -m pytest tests/secure

faults: $(READY) ## run the 37 faults on a real broker and the real engine
	@$(BIN)/python -m pytest -n 2 tests/faults

faults-red: $(READY) ## switch each guarding mechanism off, and see the faults that it guards from
	@$(BIN)/python tests/faults/red.py $(MECHANISMS)

# Each by itself: the logs' clocks are real, and an anchor that comes ten minutes after its log is late.
attacks: $(READY) ## attack a proven log by SQL, through Kafka and with its stolen key, and see what verify finds
	@$(BIN)/python -m pytest -q -n 2 tests/attacks/test_attacks.py
	@$(BIN)/python -m pytest -q -n 2 tests/attacks/test_broker_attacks.py
	@$(BIN)/python -m pytest -q -n 2 tests/attacks/test_parts.py tests/attacks/test_random_changes.py

attacks-red: $(READY) ## switch each duty of verify off, and see the attacks pass that it alone finds
	@ATTACKS_WITHOUT="$(or $(DUTIES),all)" $(BIN)/python -m pytest -q -n 2 tests/attacks

kills: $(READY) ## kill producers 500 times, workers 200 times and 200 times in their logs, and send 200,000 hostile records
	@KILLS=500 WORKER_KILLS=200 PROOF_KILLS=200 RECORDS=200000 $(BIN)/python -m pytest tests/faults/test_kills.py \
		tests/faults/test_faults_proof_kills.py \
		tests/faults/test_faults_producer.py tests/faults/test_adversarial_records.py -k "kill or killed or adversarial"

schemathesis: $(READY) ## ask the HTTP API whatever its own description allows and forbids: make schemathesis SECONDS=600
	@SECONDS_OF_FUZZING=$(or $(SECONDS),600) $(BIN)/python -m pytest -s tests/fuzz

campaigns: $(READY) ## try random honest histories, changes of them and reads: make campaigns HISTORIES=1-100 READINGS=1-100 CHANGES=1-20
	@HISTORIES=$(or $(HISTORIES),1-100) READINGS=$(or $(READINGS),1-100) CHANGES=$(or $(CHANGES),1-20) \
		$(BIN)/python -m pytest -q -n 2 tests/e2e/test_random_logs.py tests/e2e/test_random_reads.py tests/attacks/test_random_changes.py

soak: $(READY) ## break things at random: make soak MINUTES=10 SEED=1 GROUP=8
	@MINUTES=$(MINUTES) SEED=$(SEED) GROUP=$(GROUP) $(BIN)/python -m pytest -s tests/faults/soak.py

outage: $(READY) ## ClickHouse away, and Kafka away, under load: make outage MINUTES=10
	@MINUTES=$(MINUTES) $(BIN)/python -m pytest -s tests/faults/outage.py

check: $(READY) ## lint and type-check, tests included
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/pyright --warnings --pythonpath $(BIN)/python & $(BIN)/mypy; mypy=$$?; wait $$! && exit $$mypy

format: $(READY) ## format the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: $(READY) ## measure speed beside its peers, and write docs/performance.md
	@$(BIN)/python -m benchmarks

bench-full: $(READY) ## the same with more events: growth to 10 million, sessions among 100 million
	@$(BIN)/python -m benchmarks --full

docs: $(READY) ## make anew what the documents take from the code
	@$(BIN)/python docs/generate.py

constraints: $(READY) ## pin the newest versions of everything, with hashes: ours for every platform, the frameworks' for Linux
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate $(EXTRAS:%=--extra %) --group dev pyproject.toml --output-file constraints.txt
	@for name in $(CAPTURE); do $(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 \
		--python-platform x86_64-unknown-linux-gnu --generate-hashes --no-header --no-annotate \
		tests/capture/$$name/requirements.in --output-file tests/capture/$$name/requirements.txt || exit 1; done

clean: ## remove what the targets built
	rm -rf $(VENV) $(VENV)-capture-* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
