# Forebay. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE := $(CURDIR)/.cache
BIN := $(CACHE)/bin
VENV := $(CURDIR)/.venv
GOFLAGS ?=
GOLANGCI_VERSION := 2.15.0
FUZZTIME ?= 10s
ARGS ?=

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/forebay
	go build -o bin/forebay ./cmd/forebay

.PHONY: up
up: build ## build and start Forebay on 127.0.0.1:8484 (ARGS="--listen HOST:PORT --data-dir DIR" ...)
	exec bin/forebay up $(ARGS)

.PHONY: demo
demo: build ## start Forebay, call a model through every API, and stop
	bin/forebay demo $(ARGS)

.PHONY: deps
deps: $(VENV)/.installed test/clients/node/node_modules/.installed ## install the pinned clients and the engine that tests drive

$(VENV)/.installed: test/clients/python/requirements.txt test/engines/requirements.txt
	test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r test/clients/python/requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r test/engines/requirements.txt \
		|| echo "SKIPPED: no prebuilt engine for this platform; tests of a real engine will skip"
	touch $@

test/clients/node/node_modules/.installed: test/clients/node/package-lock.json
	cd test/clients/node && npm ci --silent --no-audit --no-fund
	touch $@

.PHONY: test
test: deps ## everything that must pass: vet, all tests with the race detector, the real clients
	go vet ./...
	go test -race -timeout 20m $(GOFLAGS) ./...

.PHONY: fmt
fmt: $(BIN)/gofumpt ## format the code
	$(BIN)/gofumpt -w $$(git ls-files '*.go')

.PHONY: generate
generate: deps ## regenerate what is generated (shapes, schemas, documents)
	go generate ./...

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## lint
	$< run ./...

.PHONY: check
check: fmt generate ## format, generate, lint, test, fuzz; fails on any difference
	git diff --exit-code
	$(MAKE) lint
	$(MAKE) deadcode vuln test
	$(MAKE) fuzz FUZZTIME=60s

.PHONY: deadcode
deadcode: $(BIN)/deadcode ## functions that nothing calls
	@out=$$($(BIN)/deadcode -test ./...); if [ -n "$$out" ]; then echo "$$out"; exit 1; fi

.PHONY: vuln
vuln: $(BIN)/govulncheck ## known vulnerabilities, where the database can be reached
	@$(BIN)/govulncheck ./... || { rc=$$?; if [ $$rc -eq 3 ]; then exit 3; fi; echo "SKIPPED: govulncheck could not reach its database"; }

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for f in $$(grep -rl --include='*_test.go' '^func Fuzz' . ); do \
		for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$f); do \
			echo "== $$(dirname $$f) $$t"; go test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) $$(dirname $$f); \
		done; done

.PHONY: bench
bench: build ## measure against the floors in one run; rewrites the tables of docs/performance.md
	go build -o bin/bench ./bench
	bin/bench suite -write docs/performance.md $(ARGS)

$(BIN)/gofumpt $(BIN)/deadcode $(BIN)/govulncheck: tools/go.mod
	mkdir -p $(BIN)
	cd tools && GOBIN=$(BIN) go install tool

$(BIN)/golangci-lint-$(GOLANGCI_VERSION):
	mkdir -p $(BIN)
	GOBIN=$(BIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@
