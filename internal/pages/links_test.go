package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// pages returns the paths of all pages, from the root.
func pages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("the pages are not found: %v", err)
	}
	all := []string{"README.md", "ARCHITECTURE.md"}
	for _, file := range files {
		all = append(all, "docs/"+filepath.Base(file))
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
)

// anchors returns what links to the headings of a page end in, as GitHub makes it.
func anchors(text string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		title := strings.ToLower(link.ReplaceAllString(match[1], ""))
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return r
			}
			return -1
		}, title))
	}
	return all
}

func TestLinksOfPagesLeadSomewhere(t *testing.T) {
	var followed int
	for _, page := range pages(t) {
		text := fenced.ReplaceAllString(read(t, page), "")
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			followed++
			target, anchor, _ := strings.Cut(match[1], "#")
			path := filepath.Join(filepath.Dir(page), target)
			if target == "" {
				path = page
			}
			info, err := os.Stat(filepath.Join(root, path))
			if err != nil {
				t.Errorf("%s has a link to %s, which does not exist", page, match[1])
				continue
			}
			if anchor != "" && (info.IsDir() || !slices.Contains(anchors(read(t, path)), anchor)) {
				t.Errorf("%s has a link to %s, where there is no such heading", page, match[1])
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links are found", followed)
	}
}

func TestIndexHasEveryPage(t *testing.T) {
	index := read(t, "docs/README.md")
	for _, page := range pages(t) {
		name, found := strings.CutPrefix(page, "docs/")
		if found && name != "README.md" && !strings.Contains(index, "("+name) {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	reference = regexp.MustCompile(`\$\{(?:env:)?(\w+)\}`)
)

// A block is a whole configuration if it says from where and what; others are parts.
func TestConfigurationsOnPagesLoad(t *testing.T) {
	var loaded int
	for _, page := range pages(t) {
		for _, match := range yamlBlock.FindAllStringSubmatch(read(t, page), -1) {
			text := match[1]
			if !strings.Contains("\n"+text, "\ndatabase:") || !strings.Contains("\n"+text, "\nlistener:") {
				continue
			}
			loaded++
			for _, name := range reference.FindAllStringSubmatch(text, -1) {
				t.Setenv(name[1], madeUp(name[1], "https://example.org"))
			}
			t.Logf("from %s", page)
			load(t, text)
		}
	}
	if loaded < 4 {
		t.Errorf("only %d configurations are found", loaded)
	}
}
