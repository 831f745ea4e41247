# One word per thing that people do here. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup dashboard build demo test check screenshots fuzz chaos nightly chaos-nightly storm red-team upgrade-test simulate broken-builds real-agents bench bench-dashboard

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: ## Say what is needed and install what is missing (the only script that does)
	@scripts/setup

# What npm fetched, and what it made of the dashboard: made anew when a file of it is newer.
dashboard/node_modules/.package-lock.json: dashboard/package-lock.json
	@scripts/step "dashboard: packages (npm)" npm ci --ignore-scripts --no-audit --no-fund --prefix dashboard
dashboard/dist/index.html.gz: dashboard/node_modules/.package-lock.json \
    $(shell find dashboard \( -name node_modules -o -name dist -o -name screenshots \) -prune -o -type f -print)
	@scripts/step "dashboard: build" npm run build --prefix dashboard

dashboard: setup dashboard/dist/index.html.gz ## Build the page that the server shows at /

build: dashboard ## Build everything (debug)
	@cargo build --workspace --locked

demo: build ## Watch three issues become merged branches, on this machine
	@target/debug/atta demo

check: dashboard ## Format, tree, lints: the quick half of `make test`
	@scripts/step "format" cargo fmt --all -- --check
	@scripts/step "tree" scripts/check-tree
	@scripts/step "dashboard: format, lints, types" npm run check --prefix dashboard
	@scripts/step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings

# Documentation comes before the tests so that the test runner has the last word.
test: check ## Everything that has to hold before a change lands
	@scripts/step "documentation" cargo doc --workspace --no-deps --locked --quiet
	@scripts/step "documentation tests" cargo test --workspace --doc --locked --quiet
	@scripts/step "dashboard: tests without a browser" npm test --prefix dashboard
	@scripts/step "generated files and work tree" scripts/check-clean record
	@scripts/step "tests: build" cargo nextest run --workspace --locked --profile ci --no-run
	@scripts/step "dashboard: tests in a browser" npm run test:browser --prefix dashboard
	@scripts/step "tests" cargo nextest run --workspace --locked --profile ci
	@scripts/step "nothing was written into the tree" scripts/check-clean compare

screenshots: build ## Picture every page of the dashboard: light and dark, wide and phone (dashboard/screenshots)
	@scripts/step "screenshots" npm run screenshots --prefix dashboard

fuzz: setup ## Fuzz what reads hostile text, with coverage (SECONDS_EACH=20)
	@scripts/fuzz

chaos: setup ## Kill, stop, cut off and fill up parts of Atta at random while jobs run (SEED=1 KILLS=200)
	@CHAOS_SEED=$(or $(SEED),1) CHAOS_KILLS=$(or $(KILLS),200) scripts/step "chaos" \
	    cargo nextest run --workspace --locked --profile chaos -E 'test(chaos::)'

storm: setup ## Twelve issues at once while GitHub fails and the server is killed 20 times (SEED=1 ISSUES=12 KILLS=20)
	@ATTA_STORM_SEED=$(or $(SEED),1) ATTA_STORM_ISSUES=$(or $(ISSUES),12) ATTA_STORM_KILLS=$(or $(KILLS),20) scripts/step "storm" \
	    cargo nextest run --workspace --locked --profile chaos -E 'test(workflows::storm::)'

red-team: setup ## Hostile issues, repositories and agents through the shipped workflow, each with an issue of its own
	@ATTA_RED_TEAM=1 scripts/step "red team" cargo nextest run --workspace --locked --profile chaos -E 'test(red_team::)'

nightly: chaos-nightly broken-builds upgrade-test storm red-team real-agents ## All that takes long: these, and 100 000 simulated schedules
	@$(MAKE) simulate SEEDS=100000

chaos-nightly: setup ## Ten seeds of chaos, then 10 GB of artifact, 1 GB of log, 200 viewers (SEEDS="1 2 … 10" KILLS=200)
	@for seed in $(or $(SEEDS),1 2 3 4 5 6 7 8 9 10); do \
	    CHAOS_SEED=$$seed CHAOS_KILLS=$(or $(KILLS),200) scripts/step "chaos, seed $$seed" \
	        cargo nextest run --workspace --locked --profile chaos -E 'test(chaos::)'; done
	@ATTA_ARTIFACT_MIB=10240 ATTA_LOG_MIB=1024 ATTA_VIEWERS=200 scripts/step "large transfers" \
	    cargo nextest run --workspace --locked --profile chaos -E 'test(transfers::)'

upgrade-test: setup ## Upgrade in place, and neighbouring builds that talk to each other (PREVIOUS=revision)
	@previous="$$(scripts/previous-build $(PREVIOUS))"; ATTA_PREVIOUS="$$previous" scripts/step "upgrade" \
	    cargo nextest run --workspace --locked --profile chaos -E 'test(upgrade::)'

simulate: setup ## Play simulated schedules (SEEDS=10000 FIRST=0), or one with its story (REPLAY=7)
	@SEEDS=$(or $(SEEDS),10000) FIRST=$(or $(FIRST),0) REPLAY=$(REPLAY) scripts/simulate

broken-builds: setup ## Make the queen faulty on purpose in three ways; the simulation has to see each
	@BROKEN=1 scripts/simulate

real-agents: setup ## Fetch the agent CLIs (npm, PyPI) and run each through whole sessions against a stub of its model's API
	@scripts/step "real agents" scripts/real-agents

bench: ## Measure; one JSON line per figure on stdout
	@scripts/setup bench
	@cargo build --release --workspace --locked
	@target/release/atta-bench all --atta target/release/atta

bench-dashboard: dashboard ## Measure the page: sizes, from a change to the screen, memory after a busy hour (FIGURES="sizes changes memory" CHANGES=200 JOBS=1800)
	@cargo build --release --workspace --locked
	@npm run bench --silent --prefix dashboard -- $(FIGURES) --changes $(or $(CHANGES),200) --jobs $(or $(JOBS),1800)
