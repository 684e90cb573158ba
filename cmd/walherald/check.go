package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/service"
)

func checkCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Look for what would keep the service from running; changes nothing",
		Long: `Look for what would keep the service from running; changes nothing.

It reads the configuration, connects to the database, to every broker and to every
destination, and says what it found there: rights, settings, publication, slot, tables,
topics, rules. Run it before the first start and after every change of the
configuration. It sends no event and ends within about a minute.

Each line is ok, a warning or an error, the key it is about, and what to do. It ends
with 1 if there is an error. "walherald config validate" looks at the file alone.`,
		Example: `  walherald check -c config.yml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return check(cmd.Context(), *path, cmd.OutOrStdout())
		},
	}
}

// errFound says that the preflight found an error.
var errFound = errors.New("check found errors")

// check prints what the preflight finds. It fails if that holds an error.
func check(ctx context.Context, path string, w io.Writer) error {
	var found []config.Finding
	cfg, err := config.Load(path)
	if err == nil {
		found = append([]config.Finding{{Path: path, What: "configuration is valid"}}, service.Check(ctx, cfg)...)
	} else {
		found = unloadable(path, err)
	}
	errs, err := report(w, found, colourful(w))
	switch {
	case err != nil:
		return &runError{err: fmt.Errorf("print findings: %w", err)}
	case errs > 0:
		return &runError{err: errFound, told: true}
	}
	return nil
}

// unloadable turns the error of loading the configuration into findings.
func unloadable(path string, err error) []config.Finding {
	var problems config.Problems
	if !errors.As(err, &problems) {
		f := config.Finding{Severity: config.FindingError, Path: path, What: err.Error()}
		if errors.Is(err, fs.ErrNotExist) {
			f.Remedy = "name the file: --config FILE"
		}
		return []config.Finding{f}
	}
	var found []config.Finding
	for _, p := range problems {
		// All but the text, as the problem itself writes it.
		where := strings.TrimSuffix(strings.TrimSuffix(p.Error(), p.Text), ": ")
		found = append(found, config.Finding{Severity: config.FindingError, Path: where, What: p.Text})
	}
	return found
}

// colourful reports whether w is a terminal whose user has not declined
// colours (https://no-color.org).
func colourful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// The colours of the severities (ECMA-48, select graphic rendition).
var colours = map[config.Severity]string{
	config.FindingOK:      "\x1b[32m",
	config.FindingWarning: "\x1b[33m",
	config.FindingError:   "\x1b[31m",
}

// report writes one line for each finding, its remedy below it, and their
// number. It returns the number of errors among them.
func report(w io.Writer, found []config.Finding, colour bool) (errs int, err error) {
	var b strings.Builder
	count := map[config.Severity]int{}
	severities, paths := 0, 0 // the widths of the columns
	for _, f := range found {
		count[f.Severity]++
		severities = max(severities, len(f.Severity.String()))
		paths = max(paths, utf8.RuneCountInString(f.Path))
	}
	for _, f := range found {
		severity := fmt.Sprintf("%-*s", severities, f.Severity)
		if colour {
			severity = colours[f.Severity] + severity + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", severity, paths, f.Path, oneLine(f.What))
		if f.Remedy != "" {
			fmt.Fprintf(&b, "%*s%s\n", severities+2, "", oneLine(f.Remedy))
		}
	}
	fmt.Fprintf(&b, "%s, %s, %d ok\n", plural(count[config.FindingError], "error"), plural(count[config.FindingWarning], "warning"),
		count[config.FindingOK])
	_, err = io.WriteString(w, b.String())
	return count[config.FindingError], err
}

// oneLine keeps a finding in its line, whatever a server put into its message.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
