#!/usr/bin/env bash
# Makes what a release consists of, in dist: for each platform an archive and its
# bill of materials (CycloneDX), and the checksums of them all.
#
#   VERSION=v1.2.3 scripts/release.sh
#
# VERSION is what git describe says without it, PLATFORMS the list below, DIST
# another folder. The same sources and the same Go make the same bytes, wherever
# and whenever: times are those of the commit, or SOURCE_DATE_EPOCH
# (https://reproducible-builds.org/specs/source-date-epoch/).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 022
export LC_ALL=C TZ=UTC GOFLAGS=-buildvcs=false CGO_ENABLED=0

version=${VERSION:-$(git describe --tags --always --dirty)}
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
dist=${DIST:-dist}
rm -rf "$dist"
mkdir -p "$dist"
dist=$(cd "$dist" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The program that writes bills of materials, for this machine.
(cd scripts/sbom && go build -trimpath -o "$work/cyclonedx" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)

# archive NAME packs a folder so that nothing of this machine is in it.
archive() {
	tar -C "$work" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner \
		--mode=u=rwX,go=rX --format=ustar -cf - "$1" | gzip -9n >"$dist/$1.tar.gz"
}

# bill NAME writes what is compiled into a program, as far as that program says so.
# Licences are found by the texts of the modules and can be missing. The modules are
# there, since they were just compiled: what could be fetched would not be the same
# every time.
bill() {
	GOPROXY=off "$work/cyclonedx" bin -json -std -licenses -noserial -notimestamp -version "$version" \
		-output "$dist/$1.cdx.json" "$work/$1/walherald" 2>"$work/bill.log" || {
		cat "$work/bill.log" >&2
		exit 1
	}
}

for platform in $platforms; do
	export GOOS=${platform%/*} GOARCH=${platform#*/}
	name=walherald_${version}_${GOOS}_$GOARCH
	echo "release: $name"
	mkdir "$work/$name"
	go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$work/$name/walherald" ./cmd/walherald
	cp README.md CHANGELOG.md LICENSE config_example.yml "$work/$name/"
	archive "$name"
	bill "$name"
done
(cd "$dist" && sha256sum -- *.tar.gz *.cdx.json >SHA256SUMS)
