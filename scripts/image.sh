#!/usr/bin/env bash
# Builds the image as the Dockerfile says, on a machine without a container engine:
# buildah runs the steps in a chroot, which needs root.
#
#   scripts/image.sh [PLATFORM]       such as linux/arm64; this machine's without it
#
# What the Dockerfile takes from a registry, golang, is made here of Debian's base
# system and this machine's Go. Modules and what is compiled already come from this
# machine's caches. The image is walherald:test-ARCHITECTURE in the store that
# scripts/image-store.sh names. VERSION and REVISION reach it through the
# environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/image-store.sh

base=$(awk '$1 == "FROM" && /golang/ { for (i = 2; i <= NF; i++) if ($i ~ /^golang:/) print $i }' Dockerfile)
go=$(go env GOVERSION)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
machine=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
platform=${1:-$machine}
tree=$image_cache/debian-$suite

# make_base makes the image that stands for the registry's golang.
make_base() {
	local container site partial
	if [ ! -d "$tree" ]; then
		# The mirror is the one that this machine's packages come from.
		site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n1)
		partial=$(mktemp -d "$tree.XXXXXX")
		debootstrap --variant=minbase --include=ca-certificates "$suite" "$partial" "$site" >"$partial.log" 2>&1 || {
			echo "walherald: the base system cannot be made: debootstrap's messages are in $partial.log" >&2
			exit 1
		}
		rm -rf "$partial.log" "$partial"/var/cache/apt/* "$partial"/var/lib/apt/lists/*
		chmod 755 "$partial"
		mv -T "$partial" "$tree"
	fi
	container=$(build_ah from scratch)
	build_ah add -q "$container" "$tree" / >/dev/null
	build_ah add -q "$container" "$(go env GOROOT)" /usr/local/go >/dev/null
	# What this machine trusts: the modules may come through a proxy of its own.
	build_ah add -q "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >/dev/null
	build_ah config --env PATH=/go/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		--env GOPATH=/go --env GOTOOLCHAIN=local --workingdir /go "$container"
	build_ah commit -q --rm "$container" "docker.io/library/$base" >/dev/null
	echo "$go" >"$image_cache/base-is"
}

mkdir -p "$image_cache"
exec 9>"$image_cache/lock"
flock 9
[ "$(cat "$image_cache/base-is" 2>/dev/null)" = "$go" ] || make_base

modules=$(go env GOMODCACHE)
compiled=$(go env GOCACHE)
mkdir -p "$modules" "$compiled"
build_ah build --quiet --pull-never --format docker --platform "$platform" \
	--build-arg "GOPROXY=$(go env GOPROXY)" --build-arg "GOSUMDB=$(go env GOSUMDB)" \
	--build-arg "VERSION=${VERSION:-devel}" --build-arg "REVISION=${REVISION:-unknown}" \
	--volume "$modules:/go/pkg/mod" --volume "$compiled:/root/.cache/go-build" \
	--tag "walherald:test-${platform##*/}" .
