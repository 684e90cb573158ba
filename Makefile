# The two commands to begin with; each installs what it lacks:
#
#   make demo   watch walherald at work (DURATION=15s ends it by itself)
#   make test   run all tests, against real servers, with the race detector
#
# Others: build, bench, lint, fuzz (FUZZTIME=30s for each), deps, clean, and
#
#   make test-deploy                       alerts, dashboard, stack and manifests
#   make image-test                        the container image and the release
#   make release                           archives, checksums, bills of materials
#   make test-blocked                      each broker blocked for 30 seconds
#   make test-matrix                       the tests that need PostgreSQL, with
#                                          every version beside the installed one
#   make test-matrix VERSIONS="17 18" RUN=TestSlot

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

.PHONY: build demo test test-deploy test-blocked test-matrix image-test release bench lint docs manifests fuzz deps clean

# A static binary; the version stands in for the stamp of the version control,
# which fails in a checkout that belongs to another user.
build:
	@scripts/deps.sh go
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/walherald ./cmd/walherald

# DURATION and RATE reach it through the environment.
demo:
	@scripts/deps.sh go postgresql
	go run ./cmd/demo

# What measures and what packs is no part of the product and compiles much: it does
# without the race detector.
TOOLS = ./internal/bench ./internal/imagetest

test: deps test-deploy
	go test -race -timeout 15m $$(go list ./... | grep -vxF "$$(go list $(TOOLS))")
	go test -timeout 15m $(TOOLS)

# What is in deploy, held to the code by a module of its own. After a change of
# go.mod that it has to follow: cd deploy/verify && go mod tidy.
test-deploy:
	@scripts/deps.sh go gcc postgresql
	cd deploy/verify && go test -timeout 10m ./...

# What is kept blocked for two seconds in the tests is kept so for thirty here.
test-blocked: deps
	go test -race -timeout 30m -run 'TestConformance.*/.*Blocked|TestConformance.*/.*/.*Blocked' ./publisher/nats ./publisher/kafka ./publisher/rabbitmq ./publisher/pubsub -args -walherald.block=30s

# VERSIONS and RUN reach it through the environment. The installed PostgreSQL is
# needed as well: only it brings the client programs.
test-matrix: deps
	@scripts/test-matrix.sh

# The container image for two platforms, and the release, made twice: make test has the
# image for this machine's platform alone.
image-test:
	@scripts/deps.sh go postgresql buildah
	go test -v -tags slow -timeout 15m ./internal/imagetest -args -walherald.architectures=amd64,arm64

# VERSION and PLATFORMS reach it through the environment.
release:
	@scripts/deps.sh go
	@VERSION=$(VERSION) scripts/release.sh

# ARGS are passed on.
bench:
	@scripts/deps.sh go postgresql kafka rabbitmq
	go run ./internal/bench $(ARGS)

lint:
	@scripts/deps.sh go
	@scripts/lint.sh

# Writes what is generated of the pages, and the JSON Schema of configurations, from
# config/reference.yml, the structs and the commands. Tests hold them fresh.
docs:
	@scripts/deps.sh go
	go test ./config ./cmd/walherald -run Fresh -update

# What of the Kubernetes files is made of others: the plain manifests of the chart,
# its copies of alerts and dashboard.
manifests:
	@scripts/deps.sh go
	cd deploy/verify && go test -run 'Plain|Copies' . -update.kubernetes

fuzz:
	@scripts/deps.sh go
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

# What the tests need, and so everything else.
deps:
	@scripts/deps.sh go gcc postgresql kafka rabbitmq buildah chromium

clean:
	rm -rf bin dist
