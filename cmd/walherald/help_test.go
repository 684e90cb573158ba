package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const manualFile = "../../docs/command-line.md"

// update writes what is generated instead of comparing it: make docs.
var update = flag.Bool("update", false, "write the generated pages")

// walk calls each for the command and all commands below it that a user can call.
func walk(cmd *cobra.Command, each func(*cobra.Command)) {
	each(cmd)
	for _, below := range inGroups(cmd.Commands()) {
		if below.Runnable() && !below.Hidden {
			walk(below, each)
		}
	}
}

// inGroups puts commands in the order of the help.
func inGroups(commands []*cobra.Command) []*cobra.Command {
	place := func(cmd *cobra.Command) int {
		return slices.IndexFunc(groups, func(g *cobra.Group) bool { return g.ID == cmd.GroupID })
	}
	sorted := slices.Clone(commands)
	slices.SortStableFunc(sorted, func(a, b *cobra.Command) int { return place(a) - place(b) })
	return sorted
}

func TestEveryCommandHasHelpThatTeaches(t *testing.T) {
	seen := 0
	walk(newRoot(), func(cmd *cobra.Command) {
		seen++
		name := cmd.CommandPath()
		switch {
		case cmd.Short == "" || len(cmd.Short) > 100 || strings.HasSuffix(cmd.Short, "."):
			t.Errorf("%s: Short has to be one line without a full stop: %q", name, cmd.Short)
		case len(cmd.Long) <= len(cmd.Short):
			t.Errorf("%s: Long says no more than Short", name)
		case cmd.Example == "":
			t.Errorf("%s has no example", name)
		case cmd.HasParent() && !cmd.Parent().HasParent() && cmd.GroupID == "":
			t.Errorf("%s is in no group", name)
		}
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Example, "\n") {
			if len(line) > 90 {
				t.Errorf("%s: a line has more than 90 characters: %s", name, line)
			}
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no help", name, f.Name)
			}
		})
	})
	if seen < 20 {
		t.Errorf("found %d commands", seen)
	}
}

// call finds the calls of walherald in a line of an example.
var call = regexp.MustCompile(`\bwalherald( [^|<>)&]*|$)`)

// parses finds the command of a call and parses its flags and arguments, as a run would.
func parses(line string) (*cobra.Command, error) {
	cmd, args, err := newRoot().Find(strings.Fields(line)[1:])
	if err != nil {
		return nil, err
	}
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return nil, err
	}
	return cmd, cmd.ValidateRequiredFlags()
}

func TestEveryExampleParsesAndIsOfItsCommand(t *testing.T) {
	walk(newRoot(), func(cmd *cobra.Command) {
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			found := call.FindString(line)
			if found == "" {
				t.Errorf("%s: no call in the example %q", cmd.CommandPath(), line)
				continue
			}
			of, err := parses(found)
			if err != nil {
				t.Errorf("%s: the example %q: %v", cmd.CommandPath(), line, err)
			} else if !strings.HasPrefix(of.CommandPath(), cmd.CommandPath()) {
				t.Errorf("%s: the example %q is of %s", cmd.CommandPath(), line, of.CommandPath())
			}
		}
	})
}

// calls returns the calls that a page shows, each without what explains it: that stands
// behind several blanks or a #.
func calls(page string) (found []string) {
	fenced := false
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if line, _, _ = strings.Cut(line, "  "); fenced && strings.HasPrefix(line, "walherald ") {
			line, _, _ = strings.Cut(line, " #")
			if before, _, ok := strings.Cut(line, "$("); ok {
				line = before + "x" // what another command prints
			}
			found = append(found, call.FindString(line))
		}
	}
	return found
}

func TestEveryCallOnThePagesParses(t *testing.T) {
	pages := []string{"../../README.md"}
	entries, err := os.ReadDir("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".md") && e.Name() != "command-line.md" { // which is made of the commands
			pages = append(pages, "../../docs/"+e.Name())
		}
	}
	seen := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range calls(string(text)) {
			seen++
			if _, err := parses(line); err != nil {
				t.Errorf("%s: %q: %v", page, line, err)
			}
		}
	}
	if seen < 5 {
		t.Errorf("found %d calls", seen)
	}
}

// of runs the command line inside the test.
func of(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	code = run(bounded(t), args, &out, &err)
	return code, out.String(), err.String()
}

func TestUnknownCommandsAndFlagsNameTheNearest(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"chek", `unknown command "chek" for "walherald"; did you mean "check"?`},
		{"configure", `unknown command "configure" for "walherald"` + "\n"},
		{"par", `did you mean "parked"?`},
		{"slot stauts", `unknown command "stauts" for "walherald slot"; did you mean "status"?`},
		{"config valdate", `did you mean "validate"?`},
		{"serve", `the service runs without one: walherald -c config.yml`},
		{"zzz", `unknown command "zzz" for "walherald"` + "\n"},
		{"--confg x", `unknown flag: --confg; did you mean "--config"?`},
		{"tail --pubisher x", `did you mean "--publisher"?`},
		{"parked list --zzz", "unknown flag: --zzz\n"},
		{"-x", "unknown shorthand flag: 'x' in -x\n"},
		{"completion tcsh", `invalid argument "tcsh"`},
		{"completion", "accepts 1 arg(s), received 0"},
	} {
		code, stdout, stderr := of(t, strings.Fields(test.args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d, printed %q and %q, want %q", test.args, code, stdout, stderr, test.want)
		}
	}
}

func TestHelpTellsOfTopics(t *testing.T) {
	for args, want := range map[string]string{
		"help exit-codes":         "it was called wrongly",
		"help environment":        "GOMEMLIMIT",
		"help parked retry":       "one attempt each",
		"parked":                  "Examples:",
		"--help":                  "walherald exit-codes",
		"help config env":         "No value is shown",
		"parked retry --help":     "--older-than",
		"help":                    "Before it runs:",
		"config validate --help ": "opens no connection",
	} {
		if code, stdout, stderr := of(t, strings.Fields(args)...); code != exitOK || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("%s: exit code %d, printed %q and %q, want %q", args, code, stdout, stderr, want)
		}
	}
}

func TestManualOfCommandsIsFresh(t *testing.T) {
	text, err := os.ReadFile(manualFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), "<!-- commands -->\n")
	if !found {
		t.Fatal("there is no place for the commands")
	}
	var b strings.Builder
	b.WriteString(head + "<!-- commands -->\n")
	walk(newRoot(), func(cmd *cobra.Command) { describe(&b, cmd) })
	for _, topic := range topics() {
		fmt.Fprintf(&b, "\n## %s\n\n`walherald help %s`\n\n```\n%s\n```\n", topic.Short, topic.Name(), topic.Long)
	}
	if *update {
		if err := os.WriteFile(manualFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if b.String() != string(text) {
		t.Errorf("%s is not what the commands say; run: make docs", manualFile)
	}
}

// describe writes the section of a command.
func describe(w io.Writer, cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	fmt.Fprintf(w, "\n## %s\n\n", cmd.CommandPath())
	for paragraph := range strings.SplitSeq(cmd.Long, "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			fmt.Fprintf(w, "```\n%s\n```\n\n", unindented(paragraph))
		} else {
			fmt.Fprintf(w, "%s\n\n", strings.ReplaceAll(paragraph, "<", `\<`))
		}
	}
	fmt.Fprintf(w, "```\n%s\n```\n", unindented(cmd.Example))
	var rows []string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			rows = append(rows, flagRow(f))
		}
	})
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n| flag | default | meaning |\n|---|---|---|\n%s", strings.Join(rows, ""))
	}
}

func flagRow(f *pflag.Flag) string {
	name := "`--" + f.Name + "`"
	if f.Shorthand != "" {
		name += ", `-" + f.Shorthand + "`"
	}
	value := ""
	if f.DefValue != "" && f.DefValue != "[]" {
		value = "`" + f.DefValue + "` "
	}
	return fmt.Sprintf("| %s | %s| %s |\n", name, value, f.Usage)
}

// unindented takes the indentation from an example.
func unindented(text string) string {
	return strings.TrimPrefix(strings.ReplaceAll(text, "\n  ", "\n"), "  ")
}
