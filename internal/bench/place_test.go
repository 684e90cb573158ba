package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
)

// named is a destination with nothing but its section.
type named struct {
	discard
	lines []string
}

func (n named) section(string) []string { return n.lines }

func TestSectionsAreReadAsTheOutputsTheyAreMeantFor(t *testing.T) {
	stream := named{lines: []string{"type: nats", "address: nats://127.0.0.1:1", "topic: a"}}
	topic := named{lines: []string{"type: google_pubsub", "pubSubProjectID: p-1", "topic: b", "messageKeyFrom: [name]"}}
	for what, tt := range map[string]struct {
		to   destinations
		want []string
	}{
		"one": {destinations{stream}, []string{"nats a"}},
		"two": {destinations{stream, topic}, []string{"nats a", "google_pubsub b"}},
	} {
		path := filepath.Join(t.TempDir(), "config.yml")
		text := "listener:\n  slotName: s\ndatabase:\n  host: h\n  name: n\n  user: u\n" + tt.to.sections("t")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var got []string
		for _, out := range cfg.Outputs() {
			got = append(got, out.Type+" "+out.Topic)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: outputs are %v, want %v", what, got, tt.want)
		}
	}
}

func TestOnlyBrokersThatAreMeasuredAreStarted(t *testing.T) {
	all := options{rows: 1, slow: 1, big: 1, tables: 1, latency: time.Second, lone: time.Second}
	for what, tt := range map[string]struct {
		only   string
		change func(*options)
		want   []string
	}{
		"everything":                 {"", func(*options) {}, []string{"google_pubsub", "kafka", "nats", "rabbitmq"}},
		"nothing that needs one":     {"^(discard|pg_recvlogical|encoding)$", func(*options) {}, nil},
		"a line":                     {"^kafka$", func(*options) {}, []string{"kafka"}},
		"several places of one line": {"^fanout-kafka$", func(*options) {}, []string{"kafka", "nats"}},
		"a latency":                  {"^lone-rabbitmq$", func(*options) {}, []string{"rabbitmq"}},
		"a latency that is left out": {"^lone-rabbitmq$", func(o *options) { o.lone = 0 }, nil},
		"lines that are left out":    {"^(rabbitmq|pubsub)", func(o *options) { o.slow = 0 }, nil},
	} {
		b := &bench{opts: all}
		b.opts.only = regexp.MustCompile(tt.only)
		tt.change(&b.opts)
		got := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(b.neededBrokers()))), func(name string) bool { return name == "" })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v are started, want %v", what, got, tt.want)
		}
	}
}

func TestEveryLineHasANameOfItsOwn(t *testing.T) {
	names := append(lineNames(), "")
	slices.Sort(names)
	if once := slices.Compact(slices.Clone(names)); !slices.Equal(once, names) {
		t.Errorf("names are not unique: %v", names)
	}
	for _, l := range lines() {
		if l.client != "" && clients[l.client] == nil {
			t.Errorf("line %s has no client %q", l.name, l.client)
		}
	}
}
