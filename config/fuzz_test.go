package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad wants Load to survive any file, and its errors not to show the
// password, wherever it ends up in a file that is not what it looks like.
func FuzzLoad(f *testing.F) {
	const password = "Zyzzyva-0417"
	paths, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in testdata: %v", err)
	}
	for _, path := range append(paths, "../config_example.yml", "testdata/activation/flat.yaml", "testdata/activation/source.yaml") {
		seed, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	for _, seed := range []string{
		"a: &a [*a]", "? [a]\n: b", "<<: {a: b}", "--- |", "%YAML 1.1\n---", "tags: {a: !!binary b}", "\xff\xfe", "- ", "? ",
		"rules:\nsource:", "rules: [destination: {}]\npg_connection: &a host=${b}\npublication: *a", "rules: {}\nsource: {connection: [a], type: b}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if bytes.Contains(file, []byte(password)) {
			return // The fuzzer wrote it where anybody may see it.
		}
		for _, text := range [][]byte{
			file,
			append(bytes.Clone(file), "\ndatabase:\n  password: "+password+"\n"...),
			append(bytes.Clone(file), "\nrules: []\npg_connection: 'host=a password="+password+" user=b'\n"...),
		} {
			cfg, err := load("config.yml", text)
			if (cfg == nil) == (err == nil) {
				t.Fatalf("load gives %v and %v", cfg, err)
			}
			if err != nil && strings.Contains(err.Error(), password) {
				t.Fatalf("the error shows the password: %v", err)
			}
			if cfg != nil && cfg.Validate() != nil {
				t.Fatalf("load gives what Validate refuses: %v", cfg.Validate())
			}
		}
	})
}
