package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher/nats"
)

// legacyEvent has the members of wal-listener's events.
type legacyEvent struct {
	ID, Schema, Table, Action string
	Data, DataOld             map[string]any
	CommitTime                time.Time
}

// legacyMembers are their names.
var legacyMembers = []string{"id", "schema", "table", "action", "data", "dataOld", "commitTime"}

// legacyConfig reads a file of wal-listener and changes the addresses in it to
// ours. Each replacement must find what it replaces.
func legacyConfig(t *testing.T, file string, replacements ...string) string {
	t.Helper()
	content, err := os.ReadFile("../../config/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for pair := range slices.Chunk(replacements, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("%s does not contain %q", file, pair[0])
		}
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}

// legacySource makes what wal-listener leaves in a database: its publication, its
// slot, and a change that it has not confirmed.
func legacySource(t *testing.T) *pgserver.Server {
	t.Helper()
	s := pgserver.ForTest(t, pgserver.Options{})
	if err := s.CreateDatabase(bounded(t), "my_db"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"CREATE TABLE seasons (id int PRIMARY KEY, title text, weeks numeric(4,1), open bool); CREATE TABLE games (id int PRIMARY KEY)",
		`CREATE PUBLICATION "wal-listener" FOR ALL TABLES`,
		"SELECT pg_create_logical_replication_slot('myslot_1', 'pgoutput')",
		"INSERT INTO seasons VALUES (1, 'spring', 13.5, true)",
	} {
		execute(t, s.DSN("my_db"), sql)
	}
	return s
}

// legacyRun runs the binary with a file of wal-listener and returns the events
// in the stream, subjects first.
func legacyRun(t *testing.T, s *pgserver.Server, broker *natsserver.Server, port int, configuration string) (subjects []string, events []legacyEvent) {
	t.Helper()
	js := jetStream(t, broker.URL())
	stream, err := js.CreateStream(bounded(t), jetstream.StreamConfig{Name: "wal_listener", Subjects: []string{"wal_listener.*"}})
	if err != nil {
		t.Fatal(err)
	}
	d := daemonOf(t, port, configuration)
	d.start()
	execute(t, s.DSN("my_db"), "UPDATE seasons SET title = NULL, open = false WHERE id = 1")
	execute(t, s.DSN("my_db"), "INSERT INTO games VALUES (5)")
	execute(t, s.DSN("my_db"), "DELETE FROM seasons")
	awaitConfirmed(t, d, s.DSN("my_db"), "myslot_1")
	readStream(t, stream, func(m jetstream.Msg) {
		var members map[string]json.RawMessage
		var e legacyEvent
		if err := json.Unmarshal(m.Data(), &members); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			t.Fatal(err)
		}
		for _, name := range legacyMembers {
			if _, ok := members[name]; !ok {
				t.Errorf("an event lacks %s: %s", name, m.Data())
			}
		}
		if id, _ := nats.EventID(m.Headers()); e.ID != id || time.Since(e.CommitTime).Abs() > time.Hour || e.Schema != "public" {
			t.Errorf("event %s", m.Data())
		}
		subjects, events = append(subjects, m.Subject()), append(events, e)
	})
	return subjects, events
}

// expectSeason wants the season as it was before walherald came, its UPDATE, and
// no DELETE, which both files leave out.
func expectSeason(t *testing.T, events []legacyEvent) {
	t.Helper()
	want := []struct {
		action string
		data   map[string]any
	}{
		{"INSERT", map[string]any{"id": 1.0, "title": "spring", "weeks": 13.5, "open": true}},
		{"UPDATE", map[string]any{"id": 1.0, "title": nil, "weeks": 13.5, "open": false}},
	}
	var season []legacyEvent
	for _, e := range events {
		if e.Table == "seasons" {
			season = append(season, e)
		}
	}
	if len(season) != len(want) {
		t.Fatalf("%d events of the season, want %d: %+v", len(season), len(want), season)
	}
	for i, e := range season {
		if e.Action != want[i].action || !maps.Equal(e.Data, want[i].data) || len(e.DataOld) != 0 {
			t.Errorf("event %d is %+v, want %+v", i, e, want[i])
		}
	}
}

// addresses are the replacements that every file of wal-listener needs here.
func addresses(s *pgserver.Server, broker *natsserver.Server, port int) []string {
	return []string{
		"localhost:4222", strings.TrimPrefix(broker.URL(), "nats://"), "host: localhost", "host: " + s.Host(),
		"port: 5432", fmt.Sprintf("port: %d", s.Port()), `":2112"`, fmt.Sprintf("':%d'", port),
	}
}

func TestFileOfWalListenerRunsUnchanged(t *testing.T) {
	s, broker, port := legacySource(t), natsserver.ForTest(t, natsserver.Options{}), freePort(t)
	subjects, events := legacyRun(t, s, broker, port, legacyConfig(t, "wal-listener-include.yml", addresses(s, broker, port)...))
	expectSeason(t, events)
	// include narrows the table it names alone.
	if want := []string{"wal_listener.public_seasons", "wal_listener.public_seasons", "wal_listener.public_games"}; !slices.Equal(subjects, want) {
		t.Errorf("subjects are %q, want %q", subjects, want)
	}
	if exists := value[bool](t, s.DSN("my_db"), "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = 'walherald')"); exists {
		t.Error("a publication was made although that of wal-listener is there")
	}
}

func TestFileOfWalListenerWithAFilterRunsUnchanged(t *testing.T) {
	s, broker, port := legacySource(t), natsserver.ForTest(t, natsserver.Options{}), freePort(t)
	subjects, events := legacyRun(t, s, broker, port, legacyConfig(t, "wal-listener.yml", append(addresses(s, broker, port),
		"type: kafka", "type: nats", "serverPort: 80", fmt.Sprintf("serverPort: %d", port),
		"enable_tls: true", "enable_tls: false", "  client_cert: \"cert.pem\"\n", "", "  client_key: \"key.pub\"\n", "", "  ca_cert: \"ca.pem\"\n", "")...))
	expectSeason(t, events)
	if want := []string{"wal_listener.public_seasons", "wal_listener.public_seasons"}; !slices.Equal(subjects, want) {
		t.Errorf("subjects are %q, want %q", subjects, want)
	}
}
