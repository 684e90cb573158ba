package pages

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/publisher"
)

const quickStart = "docs/quick-start.md"

var (
	hereDocument = regexp.MustCompile(`(?ms)^psql shop <<SQL\n(.*?)^SQL$`)
	statement    = regexp.MustCompile(`-c "((?:INSERT|UPDATE|DELETE) [^"]*)"`)
)

// newQuickStart makes the database as the page does and loads the page's
// configuration, with ports and folders of the test's own.
func newQuickStart(t *testing.T, page string) (cfg *config.Config, s *pgserver.Server) {
	t.Helper()
	s = pgserver.ForTest(t, pgserver.Options{
		Password: "of the superuser", Settings: map[string]string{"max_wal_senders": "10", "max_replication_slots": "10"},
	})
	if err := s.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	setup := hereDocument.FindStringSubmatch(page)
	if setup == nil {
		t.Fatal("the page has no SQL that makes the database")
	}
	execute(t, s.DSN("shop"), setup[1])
	for variable, value := range map[string]string{
		"DATABASE_HOST": s.Host(), "DATABASE_PORT": fmt.Sprint(s.Port()), "DATABASE_PASSWORD": "change-me", "MONITORING_ADDRESS": "off",
		"PUBLISHER_EMBEDDED_LISTEN": "127.0.0.1:0", "PUBLISHER_EMBEDDED_STOREDIR": t.TempDir(),
	} {
		t.Setenv("WAL_"+variable, value)
	}
	return load(t, yamlBlock.FindStringSubmatch(page)[1]), s
}

func TestQuickStartLeadsToTheFirstEvents(t *testing.T) {
	page := read(t, quickStart)
	cfg, s := newQuickStart(t, page)
	asPrinted := strings.NewReplacer(
		fmt.Sprintf("%s:%d", s.Host(), s.Port()), "localhost:5432", "127.0.0.1:0", "127.0.0.1:4222",
		filepath.Join(cfg.Publisher.Embedded.StoreDir, "jetstream"), "store/jetstream",
	)
	version := regexp.MustCompile(`PostgreSQL \d+\.\d+`)
	for _, f := range service.Check(t.Context(), cfg) {
		line := version.ReplaceAllString(asPrinted.Replace(f.What), "PostgreSQL 15.18")
		if f.Severity != config.FindingOK || !strings.Contains(page, f.Path+" ") || !strings.Contains(page, "  "+line+"\n") {
			t.Errorf("check says %v %s: %q, which is not on the page", f.Severity, f.Path, line)
		}
	}

	events := make(chan string, 10)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, cfg, service.Options{
			Version: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Observe: func(batch []publisher.Message, _ time.Time) {
				for _, m := range batch {
					events <- fmt.Sprintf("%s %s", m.Topic, m.Body)
				}
			},
		})
	}()
	awaitStreaming(t, s.DSN("shop"), cfg.Listener.SlotName)
	for _, match := range statement.FindAllStringSubmatch(page, -1) {
		execute(t, s.DSN("shop"), match[1])
		select {
		case event := <-events:
			expectPrinted(t, page, event)
		case err := <-ended:
			t.Fatalf("the service has ended: %v", err)
		case <-time.After(patience):
			t.Fatalf("no event came of %s", match[1])
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(statement.FindAllString(page, -1)); n != 3 || len(events) > 0 {
		t.Errorf("the page has %d statements, and %d events came beyond one for each", n, len(events))
	}
}

// differing are the members of a body that are never the same twice.
var differing = regexp.MustCompile(`"(?:id":"[^"]*|commitTime":"[^"]*|lsn":"[^"]*|xid":\d+)"?`)

// expectPrinted wants an event on the page, but for what is never the same twice.
func expectPrinted(t *testing.T, page, event string) {
	t.Helper()
	if !strings.Contains(differing.ReplaceAllString(page, ""), differing.ReplaceAllString(event, "")) {
		t.Errorf("the page does not show %s", event)
	}
}
