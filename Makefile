# Lanyard's commands. `make help` lists them; CI calls nothing else.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SUITE   ?=
# Tools and third-party binaries are built once, from source, outside the tree.
CACHE   := $(or $(LANYARD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lanyard)
LINT_VERSION := v2.15.0
LINT    := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint
# Set by the linker; see internal/version.
RELEASE := github.com/lanyard-dev/lanyard/internal/version.release
MODULES := . tools charts e2e e2e/envfile
PARTS   := $(addprefix e2e/cluster/,kubernetes etcd coredns containerd helm)
export CGO_CFLAGS ?= -O2
# What the cluster's parts and our images are compiled with, too: on a fresh machine packages they share are compiled once. `make align` keeps the versions the same.
SHARED  := CGO_ENABLED=0 go -C e2e build -trimpath -gcflags="all=-dwarf=false -l"
# Where Linux has huge pages for programs that ask for them only; see e2e/cluster/internal/toolchain.
HUGE    := /sys/kernel/mm/transparent_hugepage/enabled

.PHONY: help
help: ## list these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

define BUILD_DEMO
if grep -qs '\[madvise\]' $(HUGE) && { echo always > $(HUGE); } 2>/dev/null; then trap 'echo madvise > $(HUGE)' EXIT; fi; \
echo "building the demo (about 1 min on 2 cores, once)"; $(SHARED) -buildvcs=false -o ../dist/demo ./cmd/demo
endef

.PHONY: demo
demo: ## a disposable Kubernetes, Lanyard installed, a pod with its secrets (Linux, root)
	@$(BUILD_DEMO)
	dist/demo up

.PHONY: demo-down
demo-down: ## remove everything the demo made
	@$(BUILD_DEMO)
	dist/demo down

.PHONY: dev
dev: ## the registry alone, with embedded etcd, on loopback
	go run ./cmd/lanyard-registry dev

.PHONY: test
test: ## unit and integration tests with the race detector; no root, no cluster
	go test -race -timeout 20m ./...
	go -C charts test ./...
	go -C tools test ./...
	go -C e2e/envfile test ./...
	go -C e2e test ./cluster/internal/... ./internal/... ./images/...

.PHONY: e2e
# suites/workloadauth is not named: TestWorkloadAuth runs it and tells it where the cluster is.
e2e: ## the suites on a real cluster; SUITE=name runs one
	go -C e2e test -count=1 -p 1 -timeout 60m -v -run '$(SUITE)' ./suites ./suites/vaultprovider

.PHONY: check
check: format-check vet lint drift tidy-check ## format, vet, lint, drift of generated files, tidiness of modules

.PHONY: format-check
format-check:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted; run make format:"; gofmt -l $$(git ls-files '*.go'); exit 1; }

.PHONY: format
format: ## format the Go files
	gofmt -w $$(git ls-files '*.go')

.PHONY: vet
vet:
	@for m in $(MODULES); do echo "go vet ($$m)"; go -C $$m vet ./...; done

.PHONY: lint
lint: $(LINT)
	$(LINT) run ./...

$(LINT):
	@echo "building golangci-lint $(LINT_VERSION), once (a few minutes)"
	@mkdir -p $(@D)
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

.PHONY: align
align: ## give the modules that are built together the same versions of what they share
	@trap 'rm -f go.work go.work.sum' EXIT; go work init $(MODULES) $(PARTS); go work sync
	@for m in $(MODULES) $(PARTS); do go -C $$m mod tidy; done

.PHONY: generate
generate: ## regenerate what is generated
	go generate ./...

.PHONY: drift
drift:
	@before=$$(git status --porcelain | sha256sum; git diff | sha256sum); go generate ./...; \
	after=$$(git status --porcelain | sha256sum; git diff | sha256sum); \
	test "$$before" = "$$after" || { echo "generated files were not up to date; run make generate and commit:"; git status --short; exit 1; }

.PHONY: tidy-check
tidy-check:
	@for m in $(MODULES); do echo "go mod tidy -diff ($$m)"; go -C $$m mod tidy -diff; done

.PHONY: images
images: ## OCI images of all binaries, without a container daemon, in dist/images
	go -C tools run ./images -version $(VERSION) -out ../dist/images -ldflags "-X $(RELEASE)=$(VERSION)" \
		lanyard-registry=../cmd/lanyard-registry lanyard-injector=../cmd/lanyard-injector lanyard-agent=../cmd/lanyard-agent

.PHONY: man
man: ## manual pages of the command lanyard, in dist/man/man1
	go run -ldflags "-X $(RELEASE)=$(VERSION)" ./cmd/lanyard man dist/man/man1

.PHONY: bench
bench: ## time the main paths: a pod's admission, a resolve, a storm on one remote path, an init agent's run, the envelope, the store
	go test -run '^$$' -bench . -benchtime 1s ./injector/admission ./registry/workloadapi ./registry/provider ./registry/envelope ./registry/store ./cmd/lanyard-agent

.PHONY: clean
clean: ## remove what the other commands left in the tree
	rm -rf bin dist
