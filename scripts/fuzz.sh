#!/usr/bin/env bash
# Runs every fuzz test of the module, one after the other, for FUZZTIME each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

found=
while IFS=: read -r file name; do
	found=yes
	go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-30s}" "./$(dirname "$file")"
done < <(grep -roE --include='*_test.go' '^func Fuzz\w*' . | sed 's|^\./||; s|func ||' | sort)
[ -n "$found" ] || { echo "walherald: there is no fuzz test" >&2; exit 1; }
