package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// results are all that goes into the report.
type results struct {
	Date    time.Time
	Command string
	Machine machine

	// Slow is the rows of the lines with brokers that take their time.
	Rows, Slow, Big, Runs int
	// Tables is how many tables TableRows rows went to in turn; 0: not measured.
	Tables, TableRows int

	BodyBytes float64 // mean of the events' bodies
	Lines     []figures
	Latencies []latency

	Notifications []notification

	Encodings []encoding
}

// line returns the figures of the line with that name, or nil.
func (r *results) line(name string) *figures {
	for i := range r.Lines {
		if r.Lines[i].Name == name {
			return &r.Lines[i]
		}
	}
	return nil
}

// table is one table of the report; its first row is the heading.
type table struct {
	title string
	rows  [][]string
}

// tables lays out what was measured.
func (r *results) tables() []table {
	all := []table{r.setting()}
	if len(r.Lines) > 0 {
		all = append(all, r.throughput())
	}
	if len(r.Latencies) > 0 {
		all = append(all, r.latency())
	}
	if len(r.Notifications) > 0 {
		all = append(all, r.notifications())
	}
	if len(r.Encodings) > 0 {
		all = append(all, r.encoding())
	}
	if verdicts := r.verdicts(); len(verdicts) > 0 {
		t := table{"Ratios and targets", [][]string{{"what", "measured", "target", "result"}}}
		for _, v := range verdicts {
			t.rows = append(t.rows, []string{v.What, v.Value, v.Target, v.result()})
		}
		all = append(all, t)
	}
	return all
}

// setting says when, where and with what it was measured.
func (r *results) setting() table {
	m := r.Machine
	t := table{"Setting", [][]string{
		{"what", "value"},
		{"date", r.Date.UTC().Format("2006-01-02 15:04 UTC")},
		{"command", r.Command},
		{"machine", fmt.Sprintf("%s, %d cores, %.1f GB, Linux %s", m.CPU, m.Cores, m.MemoryGB, m.Kernel)},
		{"load averages before", m.Load},
		{"versions", strings.Join(append([]string{m.Go, "PostgreSQL " + m.PostgreSQL}, m.Brokers...), ", ")},
		{"rows", fmt.Sprintf("%s in transactions of %s", thousands(float64(r.Rows)), thousands(rowsPerTransaction))},
		{"mean size of an event's body", fmt.Sprintf("%.0f bytes", r.BodyBytes)},
	}}
	if r.Slow > 0 {
		t.rows = append(t.rows, []string{
			"rows for RabbitMQ and Pub/Sub",
			fmt.Sprintf("%s in transactions of %s", thousands(float64(r.Slow)), thousands(rowsPerTransaction)),
		})
	}
	if r.Big > 0 {
		t.rows = append(t.rows, []string{"large transaction", thousands(float64(r.Big)) + " rows, run once"})
	}
	if r.Tables > 0 {
		t.rows = append(t.rows, []string{
			"many tables in turn",
			fmt.Sprintf("%s tables, %s rows in transactions of %s", thousands(float64(r.Tables)), thousands(float64(r.TableRows)), thousands(rowsPerTransaction)),
		})
	}
	return t
}

// throughput is the table of the lines.
func (r *results) throughput() table {
	t := table{
		fmt.Sprintf("Throughput (runs of each line: %d)", r.Runs),
		[][]string{{"line", "events/s", "min–max", "CPU-s per million", "min–max", "peak MB", "min–max"}},
	}
	for _, l := range r.Lines {
		row := []string{l.Title}
		row = append(row, cells(l.Rate, thousands)...)
		row = append(row, cells(l.CPU, decimals(2))...)
		row = append(row, cells(l.Memory, decimals(1))...)
		t.rows = append(t.rows, row)
	}
	return t
}

// cells shows a spread in two columns.
func cells(s spread, format func(float64) string) []string {
	return []string{format(s.Median), format(s.Min) + "–" + format(s.Max)}
}

// latency is the table of the lines of latency.
func (r *results) latency() table {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", millis(d)) }
	t := table{"Latency from commit to confirmation", [][]string{
		{"destination", "transactions/s", "p50", "p99", "max", "events", "turns missed"},
	}}
	for _, l := range r.Latencies {
		t.rows = append(t.rows, []string{
			l.Title, thousands(l.Rate), ms(l.P50), ms(l.P99), ms(l.Max), thousands(float64(l.Confirmed)),
			fmt.Sprintf("%d of %s", l.Missed, thousands(float64(l.Planned))),
		})
	}
	return t
}

// notifications is the table of the lines of notifications.
func (r *results) notifications() table {
	t := table{
		fmt.Sprintf("Webhooks to endpoints that take %v (runs of each line: %d)", endpointTakes, r.Runs),
		[][]string{{"endpoints", "deliveries", "deliveries/s to each", "min–max", "peak MB", "min–max"}},
	}
	for _, n := range r.Notifications {
		row := append([]string{n.Title, thousands(float64(n.Deliveries))}, cells(n.Rate, thousands)...)
		t.rows = append(t.rows, append(row, cells(n.Peak, decimals(1))...))
	}
	return t
}

// encoding is the table of the encoding.
func (r *results) encoding() table {
	t := table{
		fmt.Sprintf("Encoding of an event's body (runs: %d)", r.Runs),
		[][]string{{"envelope", "ns per event", "min–max", "allocations per event", "min–max"}},
	}
	for _, e := range r.Encodings {
		t.rows = append(t.rows, append(append([]string{e.Title}, cells(e.Nanos, decimals(1))...), cells(e.Allocs, decimals(0))...))
	}
	return t
}

// writePlain writes the tables for a terminal.
func (r *results) writePlain(w io.Writer) error {
	for _, t := range r.tables() {
		fmt.Fprintf(w, "\n%s\n\n", t.title)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, row := range t.rows {
			fmt.Fprintln(tw, strings.TrimRight("  "+strings.Join(row, "\t"), "\t"))
		}
		if err := tw.Flush(); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// markdown returns the report as a page.
func (r *results) markdown() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWritten by `make bench` (`internal/bench`); nothing here is edited by hand.\n")
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n## %s\n\n", t.title)
		for i, row := range t.rows {
			// A bar in a cell would end it.
			line := strings.ReplaceAll(strings.Join(row, "\x00"), "|", "\\|")
			fmt.Fprintf(&b, "| %s |\n", strings.ReplaceAll(line, "\x00", " | "))
			if i == 0 {
				b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
			}
		}
	}
	b.WriteString("\n" + method)
	return b.String()
}

// writeFile writes the page to path; an empty path means nowhere.
func (r *results) writeFile(path string) error {
	if path == "" {
		return nil
	}
	if err := os.WriteFile(path, []byte(r.markdown()), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

// decimals returns a format with n decimals.
func decimals(n int) func(float64) string {
	return func(v float64) string { return strconv.FormatFloat(v, 'f', n, 64) }
}

// thousands shows v, which is not negative, without decimals and with a comma
// before every three digits.
func thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
