#!/usr/bin/env bash
# Checks the code's form and looks for mistakes that tests do not find. Every
# check runs, also after one has failed. The tools are built from pinned versions.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
golangci=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

failed=

# check NAME COMMAND... runs a command that must succeed.
check() {
	local name=$1
	shift
	echo "lint: $name"
	"$@" || failed="$failed $name"
}

# formatted prints the files that gofmt would change and fails if there are any.
formatted() {
	local files
	files=$(gofmt -l .) || return 1
	[ -z "$files" ] || { echo "run gofmt -w on:"; echo "$files"; return 1; }
}

check gofmt formatted
check vet go vet ./...
check staticcheck go run "$staticcheck" ./...
check golangci-lint go run "$golangci" run --allow-parallel-runners ./...
# The module of what is in deploy, which ./... leaves out.
check vet-deploy go -C deploy/verify vet ./...
check staticcheck-deploy go -C deploy/verify run "$staticcheck" ./...
check golangci-lint-deploy go -C deploy/verify run "$golangci" run --allow-parallel-runners ./...

[ -z "$failed" ] || { echo "lint: failed:$failed" >&2; exit 1; }
