package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain hides the machine's own WAL_ variables from the tests.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "WAL_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// minimal is the least that loads.
const minimal = `listener:
  slotName: slot
database:
  host: localhost
  name: shop
  user: postgres
publisher:
  type: stdout
`

// writeConfig writes text to a file in a folder of the test and makes that the
// working directory, so that messages name "config.yml".
func writeConfig(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(filepath.Join(".", "config.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "config.yml"
}

func mustLoad(t *testing.T, path string) *Config {
	t.Helper()
	cfg, err := Load(path)
	if err != nil {
		t.Fatalf("Load(%q):\n%v", path, err)
	}
	return cfg
}

// problemsOf loads text and returns the messages, one each.
func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := Load(writeConfig(t, text))
	return messages(t, err)
}

func messages(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error is %T (%v), want Problems", err, err)
	}
	var out []string
	for _, p := range problems {
		out = append(out, p.Error())
	}
	return out
}
