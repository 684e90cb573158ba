#!/usr/bin/env bash
# Checks the code's form and looks for mistakes that tests do not find. Every
# check runs, also after one has failed. golangci-lint is built from a pinned version
# and runs vet and staticcheck as well: loading and compiling everything once is
# enough.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

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
check golangci-lint go run "$golangci" run --allow-parallel-runners ./...
# The module of what is in deploy, which ./... leaves out.
check golangci-lint-deploy go -C deploy/verify run "$golangci" run --allow-parallel-runners ./...

[ -z "$failed" ] || { echo "lint: failed:$failed" >&2; exit 1; }
