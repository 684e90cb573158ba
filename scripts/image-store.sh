# To be sourced: where images are kept that are built without a container engine,
# and how buildah is called for them.

image_cache=/var/cache/walherald/image

# build_ah COMMAND... calls buildah with a store of its own and without anything
# that a sandbox may lack: namespaces, overlay mounts and a network of its own.
build_ah() {
	BUILDAH_ISOLATION=chroot buildah --storage-driver vfs \
		--root "$image_cache/store" --runroot "$image_cache/run" "$@"
}
