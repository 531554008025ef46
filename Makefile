# Bondgate. This file is a table of contents: what a target does stands beside it,
# how it does it stands in scripts/. `make help` prints it.

# jsonv2 is what the dependencies are built with; cgo is off so that one static
# binary is all there is. Editors and bare `go` calls need the same two.
export GOEXPERIMENT := jsonv2
export CGO_ENABLED  := 0

GO       := go
LISTEN   ?= localhost:5000
DATA     ?= ./data
FUZZTIME ?= 10s
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: help build run test check fmt vet lint race fuzz rego conformance e2e e2e-deps bench soak memory kill generate vuln clean

help: ## print this table
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/bondgate, one static binary
	@mkdir -p bin && $(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/bondgate ./cmd/bondgate

run: build ## build and serve on localhost:5000, all under ./data; POLICY=DIR adds your rules
	@bin/bondgate serve --listen $(LISTEN) --data-dir $(DATA) $(if $(POLICY),--policy $(POLICY))

test: ## run every test; what is not installed is skipped and says how to get it
	$(GO) test -p 2 -timeout 40m ./...

check: fmt vet lint ## all that can be said of the code without running it

fmt: ## fail if a file is not as gofmt writes it
	@scripts/fmt

vet: ## go vet over everything
	$(GO) vet ./...

lint: ## golangci-lint, pinned; what it is asked, and why, stands in .golangci.yml
	@scripts/tool golangci-lint run ./...

race: ## the race detector, on the packages that link no heavy vendor (needs gcc)
	@scripts/race

fuzz: ## fuzz each target for FUZZTIME (10s), two at a time
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

rego: ## stock opa over the shipped bundle: check, format, tests
	@scripts/rego

conformance: build ## the OCI distribution-spec suite against a fresh server
	@scripts/conformance

e2e: ## the tests with real clients only, nothing skipped
	BONDGATE_E2E=require $(GO) test -count=1 -timeout 40m ./test/e2e/...

e2e-deps: ## install what the tests with real clients need (root, Debian)
	@scripts/e2e-deps

bench: build ## figures against distribution v3.1.2 in one run
	@scripts/bench

soak: build ## mixed load at 70 % of the machine for DURATION (24m); fails if anything grows
	@scripts/soak

memory: build ## the resident set with 1,000 pulls of 100 MiB, and 100 pushes of 1 GiB, at a time
	@scripts/memory

kill: build ## kill -9 amid pushes, deletes and reindexes; ROUNDS=300
	@scripts/kill

generate: ## write what is generated: JSON Schema of the configuration
	@scripts/generate

vuln: ## govulncheck (needs the network: its database is not on this machine)
	@scripts/tool govulncheck ./...

clean: ## remove what was built; data and tools stay
	rm -rf bin
