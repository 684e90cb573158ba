#!/usr/bin/env bash
# Builds the image as the Dockerfile says, on a machine without a container engine:
# buildah runs its steps in a chroot, as root or through sudo.
#
#   VERSION=v1.2.3 scripts/image.sh linux/arm64 FOLDER
#
# FOLDER, which must not exist, gets what the image holds (root) and what it says
# of itself (config.json).
#
# What the Dockerfile takes from a registry, golang, is made here of Debian's base
# system and this machine's Go, once. Modules and what is compiled already come from
# this machine's caches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

platform=$1
folder=$2
cache=/var/cache/walherald/image
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
tree=$cache/debian-$suite
go=$(go env GOVERSION)
base=$(grep -o 'golang:[^ ]*' Dockerfile)

# as_root COMMAND... runs a command as root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# build_ah COMMAND... calls buildah with a store of its own and without what a
# sandbox may lack: namespaces, overlay mounts and a network of its own.
build_ah() {
	as_root env BUILDAH_ISOLATION=chroot \
		buildah --storage-driver vfs --root "$cache/store" --runroot "$cache/run" "$@"
}

# make_tree makes Debian's base system, from the mirror that the packages of this
# machine come from.
make_tree() {
	local site partial
	site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n1)
	partial=$(as_root mktemp -d "$tree.XXXXXX")
	as_root debootstrap --variant=minbase --include=ca-certificates "$suite" "$partial" "$site" >&2 || {
		as_root rm -rf "$partial"
		echo "walherald: debootstrap cannot make Debian's base system" >&2
		exit 1
	}
	as_root rm -rf "$partial"/var/cache/apt/*.bin "$partial"/var/cache/apt/archives "$partial"/var/lib/apt/lists
	as_root chmod 755 "$partial"
	as_root mv -T "$partial" "$tree"
}

# make_base makes the image that stands for the registry's golang. It trusts whom
# this machine trusts: modules may come through a proxy of its own.
make_base() {
	local container certs=/etc/ssl/certs/ca-certificates.crt
	[ -d "$tree" ] || make_tree
	container=$(build_ah from scratch)
	build_ah add -q "$container" "$tree" /
	build_ah add -q "$container" "$(go env GOROOT)" /usr/local/go
	build_ah add -q "$container" "$certs" "$certs"
	build_ah config --env PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		--env GOPATH=/go --env GOTOOLCHAIN=local --workingdir /go "$container"
	build_ah commit -q --rm "$container" "docker.io/library/$base"
	echo "$base $go" | as_root tee "$cache/base"
}

# unpack IMAGE copies what an image holds and says to the folder.
unpack() {
	local container
	mkdir "$folder"
	build_ah inspect --type image "$1" >"$folder/config.json"
	container=$(build_ah from --pull-never --platform "$platform" "$1")
	as_root cp -a "$(build_ah mount "$container")" "$folder/root"
	build_ah rm "$container" >/dev/null
}

as_root mkdir -p "$cache"
exec 9>"${TMPDIR:-/tmp}/walherald-image.lock"
flock 9
[ "$(cat "$cache/base" 2>/dev/null)" = "$base $go" ] || make_base >/dev/null

# What root compiles must not end up in the cache of somebody else.
compiled=$cache/compiled
[ "$(id -u)" -ne 0 ] || compiled=$(go env GOCACHE)
modules=$(go env GOMODCACHE)
go mod download # here, so that nothing in the cache belongs to root
as_root mkdir -p "$compiled"
image=walherald:test-${platform##*/}
build_ah build --quiet --pull-never --format docker --platform "$platform" \
	--build-arg "BUILDPLATFORM=$(go env GOHOSTOS)/$(go env GOHOSTARCH)" \
	--build-arg "GOPROXY=$(go env GOPROXY)" --build-arg "GOSUMDB=$(go env GOSUMDB)" \
	--build-arg "VERSION=${VERSION:-devel}" --build-arg "REVISION=${REVISION:-unknown}" \
	--volume "$modules:/go/pkg/mod" --volume "$compiled:/root/.cache/go-build" \
	--tag "$image" . >/dev/null
unpack "$image"
build_ah rmi --prune --force >/dev/null # what earlier builds were called so
