//go:build slow

package imagetest

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// released is what a release is made of, beside the modules.
var released = []string{
	"cmd", "config", "internal/service", "listener", "metrics", "publisher", "scripts",
	"go.mod", "go.sum", "README.md", "CHANGELOG.md", "LICENSE", "config_example.yml",
}

// release makes the release of this machine's platform from the sources in a
// folder, and returns the files it consists of.
func release(t *testing.T, from string) map[string][]byte {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	cmd := exec.CommandContext(t.Context(), filepath.Join(from, "scripts/release.sh"))
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000", "DIST="+dist,
		"PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the release: %v\n%s", err, out)
	}
	entries, err := os.ReadDir(dist)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		files[e.Name()] = []byte(read(t, filepath.Join(dist, e.Name())))
	}
	return files
}

func TestReleaseIsTheSameBytesFromAnotherFolder(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for _, name := range released {
		if err := copyAll(filepath.Join(elsewhere, name), filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	var here, there map[string][]byte
	t.Run("made", func(t *testing.T) {
		t.Run("here", func(t *testing.T) { t.Parallel(); here = release(t, root) })
		t.Run("there", func(t *testing.T) { t.Parallel(); there = release(t, elsewhere) })
	})
	name := "walherald_" + version + "_" + runtime.GOOS + "_" + runtime.GOARCH
	for _, file := range []string{name + ".tar.gz", name + ".cdx.json", "SHA256SUMS"} {
		if len(here[file]) == 0 || string(here[file]) != string(there[file]) {
			t.Errorf("%s has %d bytes here and %d there, and they differ", file, len(here[file]), len(there[file]))
		}
	}
	if len(here) != 3 {
		t.Errorf("the release is %d files, want 3", len(here))
	}
	holdsProgram(t, here[name+".tar.gz"], name)
	namesModules(t, here[name+".cdx.json"])
	checkSums(t, here)
}

// copyAll copies a file or a folder; the copies are new.
func copyAll(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	text, err := os.ReadFile(from)
	return errors.Join(err, os.WriteFile(to, text, 0o600))
}

// holdsProgram unpacks an archive and runs what is in it.
func holdsProgram(t *testing.T, archive []byte, name string) {
	t.Helper()
	unzipped, err := gzip.NewReader(strings.NewReader(string(archive)))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "walherald")
	var names []string
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
		if header.Uid != 0 || header.Uname != "" || header.ModTime.Unix() != 1700000000 || header.Mode&0o022 != 0 {
			t.Errorf("the archive tells of this machine: %+v", header)
		}
		if header.Name == name+"/walherald" {
			content, err := io.ReadAll(r)
			if err := errors.Join(err, os.WriteFile(program, content, 0o700)); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{"", "CHANGELOG.md", "LICENSE", "README.md", "config_example.yml", "walherald"}
	for i := range want {
		want[i] = name + "/" + want[i]
	}
	if !slices.Equal(names, want) {
		t.Errorf("the archive holds %q, want %q", names, want)
	}
	out, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "walherald "+version+" ") {
		t.Errorf("the program says %q, %v", out, err)
	}
}

// namesModules holds a bill of materials to be one.
func namesModules(t *testing.T, text []byte) {
	t.Helper()
	var bill struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("the bill of materials is a %q, %v", bill.BOMFormat, err)
	}
	found := 0
	for _, c := range bill.Components {
		if (c.Name == "github.com/jackc/pgx/v5" || c.Name == "std") && c.Version != "" {
			found++
		}
	}
	if found != 2 {
		t.Errorf("pgx and the standard library are not both among %d components", len(bill.Components))
	}
}

// checkSums has sha256sum check the files of a release.
func checkSums(t *testing.T, files map[string][]byte) {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != len(files)-1 {
		t.Errorf("the checksums are wrong: %v\n%s", err, out)
	}
}
