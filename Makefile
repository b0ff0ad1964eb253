# Forebay. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
# The tools of one tools/go.mod; another one has another folder, so that they are never stale.
TOOLS := .cache/tools-$(shell cksum tools/go.mod | cut -d' ' -f1)
# How long each fuzz target runs: a time, or a number of inputs with an x.
FUZZTIME ?= 20000x
# How many cases make validate tries of each property.
CHECKS ?= 2000
# What make validate makes its synthetic worlds from: another number each day.
SEED ?= $(shell date +%Y%m%d)
ARGS ?=
# Goroutines begin with the smallest stack, not with the average one: half of those of idle streams need no more, and a
# stack is never halved to less than four times what is used of it (GODEBUG=adaptivestackstart=1 brings the average back).
LDFLAGS := -ldflags '-X runtime.godebugDefault=adaptivestackstart=0'

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: build ## build and start Forebay on 127.0.0.1:8484 (ARGS="--listen HOST:PORT --data-dir DIR" ...)
	exec bin/forebay up $(ARGS)

.PHONY: demo
demo: build ## start Forebay, call a model through every API, and stop
	bin/forebay demo $(ARGS)

.PHONY: demo-clients
demo-clients: deps ## the same question through every real client, and the ledger adding up
	go test -count=1 -v -run TestEveryClient/plain ./test/clients

.PHONY: build
build: ## build bin/forebay
	go build $(LDFLAGS) -o bin/forebay ./cmd/forebay

.PHONY: test
test: deps ## everything that must pass: vet, seconds of fuzzing, all tests with the race detector, a real engine and real clients
	go vet ./...
	@$(MAKE) --no-print-directory fuzz
	go test -race -timeout 15m -json ./... | go run ./internal/testreport

.PHONY: check
check: ## what a change must pass: format, generated files, lint, dead code, vulnerabilities, tests, minutes of fuzzing
	@$(MAKE) --no-print-directory formatted generated lint deadcode vuln test
	@$(MAKE) --no-print-directory fuzz FUZZTIME=60s

.PHONY: bench
bench: build ## measure against the floors in one run; rewrites the tables of docs/performance.md
	go build -o bin/bench ./bench
	bin/bench suite -write docs/performance.md $(ARGS)

.PHONY: validate
validate: deps ## what takes long: properties on many more cases (CHECKS=2000), a hundred kills under load, the proof
	go test -timeout 60m $$(grep -rl --include='*_test.go' 'pgregory.net/rapid' --exclude-dir=node_modules . | xargs -n1 dirname | sort -u) -rapid.checks=$(CHECKS)
	FOREBAY_KILL_ROUNDS=100 go test -count=1 -timeout 30m -run TestKilledUnderLoad ./test/clients
	@$(MAKE) --no-print-directory validate-planner
	@$(MAKE) --no-print-directory prove

.PHONY: validate-planner
validate-planner: ## the planner's tests against outside oracles, the long ones included; rewrites the table of docs/planner-validation.md
	mkdir -p bin && rm -f bin/validation.jsonl
	FOREBAY_VALIDATE=1 FOREBAY_SEED=$(SEED) FOREBAY_VALIDATION=$(CURDIR)/bin/validation.jsonl go test -count=1 -p 1 -timeout 60m -run '^TestT[0-9]' ./plan/... ./sim/... ./workload/... ./perf/... ./capacity/... ./calibrate/...
	go run ./internal/validation bin/validation.jsonl docs/planner-validation.md

.PHONY: prove
prove: build ## show by experiment what a reservation holds (twenty minutes); rewrites the results of docs/guarantees.md
	bin/forebay prove --write docs/guarantees.md $(ARGS)

.PHONY: generate
generate: $(VENV)/.installed ## regenerate what is generated (shapes, schemas, documents)
	go generate ./...

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## format the code and order its imports
	$(TOOLS)/golangci-lint fmt

.PHONY: formatted
formatted: $(TOOLS)/golangci-lint ## show what make fmt would change, and fail if it is anything
	@echo "== format"; $(TOOLS)/golangci-lint fmt --diff || { echo "not formatted: make fmt"; exit 1; }

# What is generated is compared with what was there before, committed or not.
.PHONY: generated
generated: $(VENV)/.installed ## regenerate, and fail if anything was stale
	@echo "== generated files"; before=$$(git status --porcelain; git diff); go generate ./...; \
	after=$$(git status --porcelain; git diff); \
	[ "$$before" = "$$after" ] || { echo "generated files were stale; they are new now: commit them"; git status --short; exit 1; }

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## look for what .golangci.yml forbids
	@echo "== lint"; $(TOOLS)/golangci-lint run

.PHONY: deadcode
deadcode: $(TOOLS)/deadcode ## functions that nothing calls, not even a test
	@echo "== dead code"; out=$$($(TOOLS)/deadcode -test ./...); [ -z "$$out" ] || { echo "$$out"; exit 1; }

# govulncheck ends with 3 when it found something, and otherwise when it could not look.
.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## known vulnerabilities, where their database can be reached
	@echo "== vulnerabilities"; rc=0; $(TOOLS)/govulncheck ./... || rc=$$?; \
	if [ $$rc = 3 ]; then exit 1; fi; \
	if [ $$rc != 0 ]; then echo "SKIPPED: VULNERABILITIES WERE NOT CHECKED: the database could not be reached"; fi

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (such as 60s, or 20000x for as many inputs)
	@grep -ro --include='*_test.go' --exclude-dir=node_modules --exclude-dir='.?*' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file target; do \
		echo "== fuzz $$(dirname $$file): $${target#func }"; \
		go test -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(FUZZTIME) $$(dirname $$file) | sed '/^fuzz: elapsed/d'; \
	done; echo "== fuzz: nothing found"

.PHONY: deps
deps: $(VENV)/.installed test/clients/node/node_modules/.installed ## install the pinned clients and the engine that tests drive

$(VENV)/.installed: test/clients/python/requirements.txt test/engines/requirements.txt
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r test/clients/python/requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r test/engines/requirements.txt \
		|| echo "SKIPPED: NO PREBUILT ENGINE FOR THIS PLATFORM: the tests that drive a real one will skip"
	touch $@

test/clients/node/node_modules/.installed: test/clients/node/package-lock.json
	cd test/clients/node && npm ci --silent --no-audit --no-fund
	touch $@

# golangci-lint is most of this: three minutes on two busy cores when nothing is cached.
$(TOOLS)/%:
	mkdir -p $(TOOLS)
	cd tools && GOBIN=$(CURDIR)/$(TOOLS) GOFLAGS=-mod=readonly go install tool
