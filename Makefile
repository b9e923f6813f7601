# Targets carry their description behind "##"; bare `make` lists them.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:

BUF_VERSION := v1.70.0
LINT_VERSION := v2.15.0
PEBBLE_VERSION := v2.10.1
# 1.8 is the newest that builds with Go alone; internal/influxtest names the same.
INFLUXD_VERSION := v1.8.10
# The newest whose modules all resolve through the proxy.
NFPM_VERSION := v2.45.2
GOVULNCHECK_VERSION := v1.8.0
# What we are measured against.
TELEGRAF_VERSION := v1.37.2

TOOLS := $(CURDIR)/.cache/tools
BUF := $(TOOLS)/buf-$(BUF_VERSION)
LINT := $(TOOLS)/golangci-lint-$(LINT_VERSION)
PEBBLE := $(TOOLS)/pebble-$(PEBBLE_VERSION)
PROMTOOL := $(TOOLS)/promtool
NFPM := $(TOOLS)/nfpm-$(NFPM_VERSION)
INFLUXD := $(TOOLS)/influxd-$(INFLUXD_VERSION)
TELEGRAF := $(TOOLS)/telegraf-$(TELEGRAF_VERSION)
GOVULNCHECK := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)
WEB := dashboards/web

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/allmende (needs Go alone)
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(shell tools/version.sh ldflags)' -o bin/allmende ./cmd/allmende

.PHONY: packages
packages: $(NFPM) ## programs and Debian packages for amd64, arm64 and armhf in dist/ (ARCHES=amd64 for one)
	@tools/packages.sh $(NFPM) dist

.PHONY: image
image: packages ## a container image, with podman, buildah or docker (deploy/compose has an example around it)
	@tools/image.sh dist

.PHONY: sbom
sbom: ## what of others is in the program, with licences: dist/sbom.json, in CycloneDX (packages hold theirs)
	@mkdir -p dist
	go run ./tools/inventory -out dist/sbom.json -version "$$(tools/version.sh)" -epoch "$$(tools/version.sh epoch)"

.PHONY: vuln
vuln: $(GOVULNCHECK) ## known weaknesses in what the program calls; says loudly where the database cannot be reached
	@tools/vuln.sh $(GOVULNCHECK)

.PHONY: test-packages
test-packages: packages ## install the packages and run the services in a machine that is thrown away (needs root)
	PACKAGES=$(CURDIR)/dist go test -count=1 -timeout 30m ./deploy

.PHONY: demo
demo: build ## run a simulated community, page on http://127.0.0.1:8080 (needs Go alone; ARGS="--speed 1 --dir village")
	@bin/allmende demo $(ARGS)

.PHONY: test
test: needs vet test-go test-web e2e test-packages ## everything: installs what is missing, then vet, race tests, web tests, browser, packages

.PHONY: needs
needs: $(INFLUXD) ## install what the tests need beyond Go: npm packages, Chromium, servers, Modbus peers
	@tools/needs.sh
	@tools/retry.sh go mod download
	@tools/npm-ci.sh $(WEB)

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: test-go
test-go: $(PEBBLE) $(PROMTOOL) ## Go tests under the race detector
	go test -race -timeout 40m ./...

.PHONY: test-web
test-web: $(WEB)/node_modules ## type check and unit tests of the page
	cd $(WEB) && npm run --silent check && npm run --silent test

.PHONY: e2e
e2e: build $(WEB)/node_modules ## the page in a headless browser against a running demo
	@tools/e2e.sh

.PHONY: bench
bench: ## benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-modbus
bench-modbus: $(TELEGRAF) ## reading Modbus devices: CPU and memory beside Telegraf and a bare loop, 200 devices (5 minutes)
	MODBUS_BENCH_TELEGRAF=$(TELEGRAF) go test -count=1 -v -timeout 20m -run TestCompareWithTelegraf ./gateway/modbus
	go test -run '^$$' -bench Read60 -benchmem -count 5 ./gateway/modbus

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (5s unless told otherwise)
	@tools/fuzz.sh $(or $(FUZZTIME),5s)

.PHONY: generate
generate: $(BUF) .cache/googleapis/google/api/http.proto ## the Go code and the OpenAPI description from proto/
	$(BUF) lint
	$(BUF) generate
	go test -count=1 -run TestDocumentShowsTheMatrix ./internal/archtest -update

.PHONY: web
web: $(WEB)/node_modules ## rebuild the embedded page in dashboards/dist
	cd $(WEB) && npm run --silent build

.PHONY: lint
lint: $(LINT) ## golangci-lint with .golangci.yml
	$(LINT) run

.PHONY: fmt
fmt: $(LINT) ## format the Go code, and mend what the linters can mend
	$(LINT) fmt
	$(LINT) run --fix

.PHONY: check
check: lint generate web sbom vuln ## lint, generate, rebuild the page, licences and weaknesses, then assert a clean tree (commit first)
	go mod tidy -diff
	@tools/clean-tree.sh

.PHONY: clean
clean: ## remove what make has built or fetched
	rm -rf bin .cache $(WEB)/node_modules tools/node_modules

$(WEB)/node_modules: $(WEB)/package-lock.json
	@tools/npm-ci.sh $(WEB)

# Google's http.proto and annotations.proto, copied from an npm package: nothing is vendored.
.cache/googleapis/google/api/http.proto: tools/package-lock.json
	@tools/npm-ci.sh tools
	mkdir -p $(@D)
	cp tools/node_modules/google-proto-files/google/api/{annotations,http}.proto $(@D)/

$(BUF):
	@tools/go-tool.sh $@ github.com/bufbuild/buf/cmd/buf $(BUF_VERSION)

$(PEBBLE):
	@tools/go-tool.sh $@ github.com/letsencrypt/pebble/v2/cmd/pebble $(PEBBLE_VERSION)

$(INFLUXD):
	@tools/go-tool.sh $@ github.com/influxdata/influxdb/cmd/influxd $(INFLUXD_VERSION)

$(PROMTOOL):
	@tools/promtool.sh $@

$(LINT):
	@tools/go-tool.sh $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint $(LINT_VERSION)

$(NFPM):
	@tools/go-tool.sh $@ github.com/goreleaser/nfpm/v2/cmd/nfpm $(NFPM_VERSION)

$(TELEGRAF):
	@tools/go-tool.sh $@ github.com/influxdata/telegraf/cmd/telegraf $(TELEGRAF_VERSION) custom,inputs.modbus,outputs.discard,serializers.influx,parsers.influx

$(GOVULNCHECK):
	@tools/go-tool.sh $@ golang.org/x/vuln/cmd/govulncheck $(GOVULNCHECK_VERSION)
