package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// EnvBin names a folder of PostgreSQL binaries to use instead of any other.
const EnvBin = "WALHERALD_PG_BIN"

// minVersion is the oldest major version whose pgoutput walherald reads.
const minVersion = 12

// ErrNotInstalled says that this machine has no PostgreSQL server that can be used.
var ErrNotInstalled = errors.New("no PostgreSQL server of version 12 or newer was found " +
	"(install it: apt-get install postgresql, or make deps; " + EnvBin + " names a folder of binaries elsewhere)")

// Installation is one set of PostgreSQL binaries.
type Installation struct {
	// Dir is the folder that holds postgres and initdb.
	Dir string
	// Version is the major version, as 15.
	Version int
}

// Installations lists the servers of this machine, the newest first: those
// below /usr/lib/postgresql and the one in PATH; or the one that [EnvBin] names,
// alone. It returns [ErrNotInstalled] rather than an empty list.
func Installations(ctx context.Context) ([]Installation, error) {
	if dir := os.Getenv(EnvBin); dir != "" {
		inst, err := inspect(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("use %s: %w", EnvBin, err)
		}
		return []Installation{inst}, nil
	}
	var found []Installation
	for _, dir := range candidates() {
		if inst, err := inspect(ctx, dir); err == nil {
			found = append(found, inst)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look for PostgreSQL servers: %w", err)
	}
	if len(found) == 0 {
		return nil, ErrNotInstalled
	}
	slices.SortStableFunc(found, func(a, b Installation) int { return b.Version - a.Version })
	return found, nil
}

// candidates lists the folders where binaries can be, each once.
func candidates() []string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && !slices.Contains(dirs, filepath.Dir(path)) {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return dirs
}

// inspect finds out what the binaries in dir are.
func inspect(ctx context.Context, dir string) (Installation, error) {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return Installation{}, fmt.Errorf("find initdb: %w", err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Installation{}, fmt.Errorf("ask postgres in %s for its version: %w", dir, err)
	}
	version, err := majorVersion(string(out))
	if err != nil {
		return Installation{}, err
	}
	if version < minVersion {
		return Installation{}, fmt.Errorf("PostgreSQL %d in %s is older than %d", version, dir, minVersion)
	}
	return Installation{Dir: dir, Version: version}, nil
}

// majorVersion reads "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)" and
// "postgres (PostgreSQL) 19beta1".
func majorVersion(s string) (int, error) {
	_, number, _ := strings.Cut(s, "(PostgreSQL) ")
	end := strings.IndexFunc(number, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(number)
	}
	version, err := strconv.Atoi(number[:end])
	if err != nil {
		return 0, fmt.Errorf("read the PostgreSQL version in %q: %w", strings.TrimSpace(s), err)
	}
	return version, nil
}

// find returns the installation that opts ask for.
func find(ctx context.Context, opts Options) (Installation, error) {
	if opts.BinDir != "" {
		return inspect(ctx, opts.BinDir)
	}
	all, err := Installations(ctx)
	if err != nil {
		return Installation{}, err
	}
	return all[0], nil
}

// Bin returns the path of one of PostgreSQL's programs (psql, pgbench,
// pg_recvlogical): that of the server's own version, else of the newest version
// on this machine that has it, which serves older and newer servers as well.
func (s *Server) Bin(name string) (string, error) {
	dirs := append([]string{s.installation.Dir}, candidates()...)
	slices.Reverse(dirs[1:]) // the glob's order is from old to new
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL program %s (apt-get install postgresql, or make deps): %w", name, err)
	}
	return path, nil
}
