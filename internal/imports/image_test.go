package imports

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The image is built from what .dockerignore lets through: a room the command
// needs and that is missing there breaks the image and nothing else.
func TestImageIsBuiltFromEveryRoomTheCommandNeeds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	var let []string
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			let = append(let, folder)
		}
	}
	imports := make(map[string][]string)
	for _, s := range sources(t) {
		imports[s.pkg] = append(imports[s.pkg], s.imports(t)...)
	}
	seen := make(map[string]bool)
	var need func(pkg string)
	need = func(pkg string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		if !slices.ContainsFunc(let, func(folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }) {
			t.Errorf(".dockerignore keeps %s out of the image", pkg)
		}
		for _, imported := range imports[pkg] {
			if own, ok := strings.CutPrefix(imported, module); ok {
				need(own)
			}
		}
	}
	need("cmd/walherald")
	if !seen["internal/service"] || !seen["publisher/kafka"] {
		t.Errorf("the command seems to need only %v", seen)
	}
}
