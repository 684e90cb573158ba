package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
	"github.com/walherald/walherald/internal/receiver"
)

// notifying is a configuration of a new database with a table t, from a file that
// says what stands in text.
func notifying(t *testing.T, text string) (cfg *config.Config, dsn string) {
	t.Helper()
	s := pgserver.Shared(t)
	name := s.TestDatabase(t)
	path := filepath.Join(t.TempDir(), "config.yml")
	text = fmt.Sprintf("database: {host: %s, port: %d, name: %s, user: %s}\nlistener: {slotName: %s}\n%s",
		s.Host(), s.Port(), name, s.User(), name, text)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, s.DSN(name), "CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL")
	return cfg, s.DSN(name)
}

// nowhere is the address of a port on which nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d/hook", port)
}

// eventually polls until ok, whose text says what was found instead.
func eventually(t *testing.T, what string, ok func(ctx context.Context) (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, found := ok(ctx)
		if yes {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %s", what, found)
		}
	}
}

// query returns one text of the database.
func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var text string
	if err := conn.QueryRow(ctx, sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// awaitQuery polls until the database answers with want.
func awaitQuery(t *testing.T, dsn, sql, want string) {
	t.Helper()
	eventually(t, sql, func(context.Context) (bool, string) {
		got := query(t, dsn, sql)
		return got == want, got + " where " + want + " is wanted"
	})
}

// awaitReached waits until the server was told a position at or behind lsn.
func awaitReached(t *testing.T, dsn string, cfg *config.Config, lsn string) {
	t.Helper()
	awaitQuery(t, dsn, fmt.Sprintf("SELECT (confirmed_flush_lsn >= '%s')::text FROM pg_replication_slots WHERE slot_name = '%s'", lsn, cfg.Listener.SlotName), "true")
}

const endOfLog = "SELECT pg_current_wal_insert_lsn()::text"

// summaries are the events that a receiver got, in order, as setu's shape has them.
func summaries(t *testing.T, requests []receiver.Request) []string {
	t.Helper()
	var all []string
	for _, r := range requests {
		var body struct {
			Table, Op string
			Old, New  map[string]*string
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		row := body.New
		if row == nil {
			row = body.Old
		}
		text := body.Op + " " + body.Table
		if row != nil {
			text += " " + *row["id"]
		}
		all = append(all, text)
	}
	return all
}

func TestRulesSendWhatTheySelectAndNothingElse(t *testing.T) {
	hook, chat := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Body(200, "text/plain", "ok"))})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  destinations:
    - {name: crm, type: webhook, url: "%s/hook", envelope: setu, allowPrivate: true}
    - {name: team, type: slack, url: "%s/services/x", allowPrivate: true, rate: 1000}
  rules:
    - name: upgraded
      table: t
      op_type: Update
      conditions: [{field: v, old_value: free, new_value: premium}]
      destinations: [crm, team]
    - {name: gone, table: public.t, op_type: Delete, destination: crm}
    - {name: large, topic: "public_*", when: 'action == "INSERT" && new.id > 100', destination: crm}
`, hook.URL(), chat.URL()))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, `INSERT INTO t VALUES (1, 'free'), (2, 'free'), (101, 'x');
		UPDATE t SET v = 'premium' WHERE id = 1; UPDATE t SET v = 'other' WHERE id = 2; UPDATE t SET v = 'premium' WHERE id = 2;
		DELETE FROM t WHERE id = 2; TRUNCATE t; INSERT INTO t VALUES (102, 'last')`)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	got := summaries(t, hook.Requests())
	slices.Sort(got)
	if want := []string{"Delete t 2", "Insert t 101", "Insert t 102", "Update t 1"}; !slices.Equal(got, want) {
		t.Errorf("the webhook got %q, want %q", got, want)
	}
	if n := chat.Count(); n != 1 {
		t.Errorf("the chat got %d messages, want 1", n)
	}
	r.stop()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
}

func TestManyChangesOfARowInAnIntervalAreFewNotifications(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, `notifier: {rules: [{table: t, destination: {type: webhook, url: "`+hook.URL()+`", envelope: setu, allowPrivate: true, coalesce: 3s}}]}`)
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, '0')")
	hook.Await(t, 1)
	execute(t, dsn, "DO $$ BEGIN FOR i IN 1..3000 LOOP UPDATE t SET v = i WHERE id = 1; END LOOP; END $$")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	r.stop()
	if err := r.end(t); err != nil {
		t.Error(err)
	}
	// The insert, what of the updates came first, and the last one.
	if n := hook.Count(); n > 3 || !strings.Contains(string(hook.Requests()[n-1].Body), "3000") {
		t.Errorf("%d requests, the last one %s; want 3 at most, the last one of the last update", n, hook.Requests()[n-1].Body)
	}
}

func TestRuleSeesWhatNoTopicIsFor(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier: {rules: [{table: t, destination: {type: webhook, url: "%s", allowPrivate: true}}]}
`, hook.URL()))
	cfg.Listener.TopicsMap, cfg.Listener.DiscardUnmatched = config.TopicsMap{{Match: "public_other", Topic: "other"}}, true
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, 'x')")
	hook.Await(t, 1)
}

func TestPositionFollowsTheLowestDelivery(t *testing.T) {
	release := make(chan struct{})
	hook := receiver.New(t, receiver.Options{Answer: func(r *receiver.Request) receiver.Reply {
		if strings.Contains(string(r.Body), "hang") {
			return receiver.Hang(release)
		}
		return nil
	}})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  rules: [{table: t, destination: {type: webhook, url: "%s", allowPrivate: true, timeout: 50s, timeBudget: 55s}}]
`, hook.URL()))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	before := query(t, dsn, endOfLog)
	awaitReached(t, dsn, cfg, before)
	execute(t, dsn, "INSERT INTO t VALUES (1, 'hang')")
	hook.Await(t, 1)
	after := query(t, dsn, endOfLog)
	execute(t, dsn, "INSERT INTO t SELECT i, 'x' FROM generate_series(2, 10) i")
	r.log.await(t, "output confirms nothing and holds the position")
	if reached := query(t, dsn, fmt.Sprintf("SELECT (confirmed_flush_lsn >= '%s')::text FROM pg_replication_slots WHERE slot_name = '%s'",
		after, cfg.Listener.SlotName)); reached != "false" {
		t.Error("the position passed a delivery that had not ended")
	}
	close(release)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	if n := hook.Count(); n != 10 {
		t.Errorf("%d requests, want 10", n)
	}
}

// Failure 11 of docs/failures.md.
func TestDeadEndpointHoldsNothingUpAndGetsItsEventsWhenItIsBack(t *testing.T) {
	alive := receiver.New(t, receiver.Options{})
	dead := nowhere(t)
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  parking: {schedule: [1ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]}
  rules:
    - {name: a, table: t, destination: {name: alive, type: webhook, url: "%s", allowPrivate: true}}
    - {name: d, table: t, destination: {name: dead, type: webhook, url: "%s", allowPrivate: true, backoff: 10ms, circuit: {failures: 3, openFor: 2s}}}
`, alive.URL(), dead))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 300) i")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	alive.Await(t, 300)
	r.log.await(t, "destination is taken for down")
	parked := query(t, dsn, "SELECT count(*)::text FROM walherald.parked WHERE destination = 'dead'")
	if parked != "300" {
		t.Errorf("%s deliveries are parked, want 300", parked)
	}
	// What was parked is in the log too, and is no event.
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))

	back := receiver.New(t, receiver.Options{Address: strings.TrimSuffix(strings.TrimPrefix(dead, "http://"), "/hook")})
	awaitQuery(t, dsn, "SELECT count(*)::text FROM walherald.parked", "0")
	ids := make(map[string]bool)
	for _, request := range back.Requests() {
		ids[request.Header.Get("webhook-id")] = true
	}
	if len(ids) != 300 || alive.Count() != 300 {
		t.Errorf("%d events came when it was back, want 300; the other one got %d", len(ids), alive.Count())
	}
}

func TestHeldNotificationHoldsThePositionAndIsNamed(t *testing.T) {
	hook := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Status(http.StatusNotFound))})
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  rules: [{name: all, table: t, destination: {name: crm, type: webhook, url: "%s", allowPrivate: true, onFailure: hold}}]
`, hook.URL()))
	cfg.Listener.ServerPort = port
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	execute(t, dsn, "INSERT INTO t VALUES (1, 'x')")
	after := query(t, dsn, endOfLog)
	eventually(t, "readiness", func(ctx context.Context) (bool, string) {
		text := get(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/ready", port))
		return strings.Contains(text, `"name":"crm","ready":false`) && strings.Contains(text, "404"), text
	})
	hook.Await(t, 3) // it is tried again and again
	if reached := query(t, dsn, fmt.Sprintf("SELECT (confirmed_flush_lsn >= '%s')::text FROM pg_replication_slots WHERE slot_name = '%s'",
		after, cfg.Listener.SlotName)); reached != "false" {
		t.Error("the position passed a delivery that is held")
	}
	hook.SetAnswer(nil)
	awaitReached(t, dsn, cfg, after)
}

// get returns what an address answers, or the error.
func get(ctx context.Context, t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestParkingThatIsImpossibleHoldsAndLosesNothing(t *testing.T) {
	hook := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Status(http.StatusBadRequest))})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  rules: [{name: all, table: t, destination: {name: crm, type: webhook, url: "%s", allowPrivate: true}}]
`, hook.URL()))
	// A table of that name that is not ours.
	execute(t, dsn, "CREATE SCHEMA walherald; CREATE TABLE walherald.parked (something int)")
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (1, 'x')")
	after := query(t, dsn, endOfLog)
	r.log.await(t, "park 1 notifications")
	if reached := query(t, dsn, fmt.Sprintf("SELECT (confirmed_flush_lsn >= '%s')::text FROM pg_replication_slots WHERE slot_name = '%s'",
		after, cfg.Listener.SlotName)); reached != "false" {
		t.Error("the position passed a delivery that is neither delivered nor parked")
	}
	execute(t, dsn, "DROP TABLE walherald.parked")
	awaitReached(t, dsn, cfg, after)
	awaitQuery(t, dsn, "SELECT count(*)::text FROM walherald.parked", "1")
	if n := hook.Count(); n != 1 {
		t.Errorf("the delivery was tried %d times while it could not be parked, want once", n)
	}
}
