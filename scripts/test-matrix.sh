#!/usr/bin/env bash
# Tests what reads from PostgreSQL with one version after the other, each fetched
# if it is not there. VERSIONS narrows the versions ("17 18"), RUN the tests (a
# regular expression for go test -run). Every version is tested, also after one has
# failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/postgresql.sh

packages="./internal/pgserver ./listener/... ./publisher/notifier/parking ./internal/pages ./internal/service ./cmd/..."
passed= failed=

# test_with MAJOR runs the tests with one version.
test_with() {
	scripts/deps.sh "postgresql-$1" || return 1
	WALHERALD_PG_BIN=$(postgresql_bin "$1") \
		go test -race -count=1 -timeout 15m ${RUN:+-run "$RUN"} $packages
}

for version in ${VERSIONS:-$postgresql_versions}; do
	echo "=== PostgreSQL $version"
	SECONDS=0
	if test_with "$version"; then
		passed="$passed $version"
		echo "=== PostgreSQL $version: passed (${SECONDS}s)"
	else
		failed="$failed $version"
		echo "=== PostgreSQL $version: FAILED (${SECONDS}s)"
	fi
done

[ -z "$passed" ] || echo "test-matrix: passed:$passed"
[ -z "$failed" ] || { echo "test-matrix: failed:$failed" >&2; exit 1; }
