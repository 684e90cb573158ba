package service

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/receiver"
)

func TestExpressionThatFailsParksItsEventsForSomebodyAndNoOthers(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  parking: {schedule: [1ms]}
  rules:
    - {name: other, table: nothing, destination: crm}
    - {name: small, table: t, when: "new.id < 4 || new.v < 2", destination: crm}
  destinations: [{name: crm, type: webhook, url: "%s", allowPrivate: true}]
`, hook.URL()))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t SELECT i, 'Konfidenz' FROM generate_series(1, 10) i")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	reasons := parkedReasons(t, dsn, "crm")
	for _, reason := range reasons {
		if !strings.HasPrefix(reason, "notifier.rules[1].when: cannot be evaluated at 1:") || strings.Contains(reason, "Konfidenz") {
			t.Errorf("parked because of %q", reason)
		}
	}
	if manual := query(t, dsn, "SELECT count(*)::text FROM walherald.parked WHERE manual AND next_at IS NULL AND rule = 'small'"); len(reasons) != 7 || manual != "7" {
		t.Errorf("%d events are parked, %s of them for somebody, want 7", len(reasons), manual)
	}
	if n := len(versions(t, hook.Requests())); hook.Count() != 3 || n != 3 {
		t.Errorf("%d requests came of %d events, want those of 3", hook.Count(), n)
	}
	if text, _ := r.log.read(); !strings.Contains(text, "notifier.rules[1].when") {
		t.Error("the log does not name the expression")
	}
}

func TestRulesAndPayloadsNeverSeeWhatIsMaskedOrExcluded(t *testing.T) {
	const hidden, absent = "Konfidenz", "Absenz"
	hook, broken := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Status(400))})
	text := fmt.Sprintf(`
notifier:
  parking: {schedule: [1h]}
  destinations:
    - {name: crm, type: webhook, url: "%s/rule", allowPrivate: true}
    - {name: text, type: webhook, url: "%s/text", allowPrivate: true, template: '{{json .New}}{{json .Old}}', headers: {Content-Type: text/plain}}
    - {name: broken, type: webhook, url: "%s", allowPrivate: true}
`, hook.URL(), hook.URL(), broken.URL())
	for _, envelope := range []string{
		config.EnvelopeWalListener, config.EnvelopePGEvents, config.EnvelopePSQLStreamer, config.EnvelopeSetu,
		config.EnvelopeCloudEvents, config.EnvelopeDebezium,
	} {
		text += fmt.Sprintf("    - {name: %s, type: webhook, url: %q, allowPrivate: true, envelope: %s}\n", envelope, hook.URL()+"/"+envelope, envelope)
	}
	text += fmt.Sprintf(`  rules:
    - {name: seen, table: t, op_type: insert, conditions: [{field: v, new_value: "***"}], destination: crm}
    - {name: any, table: t, destinations: [text, broken, %s, %s, %s, %s, %s, %s]}
`, config.EnvelopeWalListener, config.EnvelopePGEvents, config.EnvelopePSQLStreamer, config.EnvelopeSetu, config.EnvelopeCloudEvents, config.EnvelopeDebezium)
	for i, condition := range []string{
		`conditions: [{field: v, new_value: Konfidenz}]`, `conditions: [{field: v, old_value: Konfidenz}]`, `conditions: [{field: v, regex: onf}]`,
		`conditions: [{field: v, gt: K, lt: L}]`, `conditions: [{field: hash, new_value: Konfidenz}]`, `conditions: [{field: none, is_null: false}]`,
		`conditions: [{field: gone, is_null: false}]`, `conditions: [{field: gone, not: [x]}]`,
		`when: 'new.v == "Konfidenz" || old.v == "Konfidenz" || new.none != nil || new.hash contains "onf"'`,
		`when: 'new.gone != nil || old.gone == "Absenz"'`,
	} {
		text += fmt.Sprintf("    - {name: blind-%d, table: t, %s, destination: crm}\n", i, condition)
	}
	cfg, dsn := notifying(t, text)
	cfg.Listener.MaskKey = "a-key-of-masks-that-is-long-enough"
	cfg.Listener.Mask = config.Masks{
		{Table: "t", Column: "v", With: config.MaskRedact}, {Table: "t", Column: "hash", With: config.MaskHash}, {Table: "t", Column: "none", With: config.MaskNull},
	}
	cfg.Listener.Exclude.Columns = []string{"t.gone"}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	execute(t, dsn, "ALTER TABLE t ADD hash text, ADD none text, ADD gone text")
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, fmt.Sprintf("INSERT INTO t VALUES (1, '%[1]s', '%[1]s', '%[1]s', '%[2]s')", hidden, absent))
	execute(t, dsn, "UPDATE t SET id = 2")
	execute(t, dsn, fmt.Sprintf("UPDATE t SET v = '%[1]s 2', hash = '%[1]s 2', none = '%[1]s 2', gone = '%[2]s 2'", hidden, absent))
	execute(t, dsn, "DELETE FROM t")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	came := make(map[string]int)
	for _, request := range append(hook.Requests(), broken.Requests()...) {
		came[request.Path]++
		if body := string(request.Body); strings.Contains(body, hidden) || strings.Contains(body, absent) || strings.Contains(body, "gone") {
			t.Errorf("%s was told %s", request.Path, body)
		}
	}
	if came["/rule"] != 1 || came["/text"] != 4 || came["/setu"] != 4 || broken.Count() != 4 {
		t.Errorf("the requests are %v, and %d were refused", came, broken.Count())
	}
	var payloads []string
	if err := json.Unmarshal([]byte(query(t, dsn, "SELECT json_agg(convert_from(payload || key, 'UTF8') || reason)::text FROM walherald.parked")), &payloads); err != nil {
		t.Fatal(err)
	}
	journal, _ := r.log.read()
	for _, text := range append(payloads, journal) {
		if strings.Contains(text, hidden) || strings.Contains(text, absent) {
			t.Errorf("what is hidden stands in %s", text)
		}
	}
	if len(payloads) != 4 {
		t.Errorf("%d events are parked, want 4", len(payloads))
	}
}

func TestRuleAboutAnOldRowThatTheLogDoesNotHoldIsToldOnce(t *testing.T) {
	hook := receiver.New(t, receiver.Options{})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  destinations: [{name: crm, type: webhook, url: "%s", allowPrivate: true, envelope: setu}]
  rules:
    - {name: was, table: t, conditions: [{field: v, old_value: a}], destination: crm}
    - {name: flipped, table: t, op_type: update, when: 'old.v == "a"', destination: crm}
    - {name: moved, table: t, op_type: update, conditions: [{field: id, changed: true}], destination: crm}
    - {name: end, table: t, op_type: truncate, destination: crm}
`, hook.URL()))
	execute(t, dsn, "ALTER TABLE t REPLICA IDENTITY DEFAULT")
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	for range 3 {
		execute(t, dsn, "INSERT INTO t SELECT i, 'a' FROM generate_series(1, 10) i")
		execute(t, dsn, "UPDATE t SET v = 'b'; DELETE FROM t WHERE id < 5; UPDATE t SET id = 100 WHERE id = 5; TRUNCATE t")
		awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	}
	got := summaries(t, hook.Requests())
	slices.Sort(got)
	if want := []string{"Truncate t", "Truncate t", "Truncate t", "Update t 100", "Update t 100", "Update t 100"}; !slices.Equal(got, want) {
		t.Errorf("the webhook got %q, want %q", got, want)
	}
	text, _ := r.log.read()
	for _, rule := range []string{"was", "flipped"} {
		words := "rule=" + rule + " table=public.t column=v"
		if n := strings.Count(text, words); n != 1 {
			t.Errorf("the log says %d times that rule %s cannot see the old row, want once:\n%s", n, rule, text)
		}
	}
	if strings.Contains(text, "rule=moved") || strings.Contains(text, "rule=end") {
		t.Errorf("the log warns of rules that see what they ask for:\n%s", text)
	}
}

// What walherald writes itself is in the publication, and is no event.
func TestParkingIsNoEventWhereEverythingIsPublishedAndSelected(t *testing.T) {
	hook := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Status(400))})
	cfg, dsn := notifying(t, fmt.Sprintf(`
notifier:
  parking: {schedule: [1ms, 1h]}
  destinations: [{name: crm, type: webhook, url: "%s", allowPrivate: true, envelope: setu}]
  rules: [{name: all, table: "*", destination: crm}]
`, hook.URL()))
	// A position to which nothing belongs that is delivered is told by the heartbeat
	// alone, and kept in the database at long intervals.
	cfg.Listener.HeartbeatInterval, cfg.Listener.SlotMemory = 500*time.Millisecond, false
	execute(t, dsn, "CREATE PUBLICATION walherald FOR ALL TABLES")
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t SELECT i, 'a' FROM generate_series(1, 20) i")
	awaitQuery(t, dsn, "SELECT count(*)::text FROM pg_class WHERE oid = to_regclass('walherald.parked')", "1")
	// Parked, tried again and noted: the table is inserted into and updated.
	awaitQuery(t, dsn, "SELECT count(*)::text FROM walherald.parked WHERE attempts = 1", "20")
	for round := range 3 {
		awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
		text, _ := r.log.read()
		if n := strings.Count(text, "are parked"); n > 20 || strings.Contains(text, "walherald.parked") {
			t.Errorf("round %d: the log tells %d times of what is parked:\n%s", round, n, text)
		}
		if n := query(t, dsn, "SELECT count(*)::text FROM walherald.parked"); n != "20" || hook.Count() != 40 {
			t.Errorf("round %d: %s deliveries are parked after %d requests, want 20 and 40", round, n, hook.Count())
		}
	}
	for _, event := range summaries(t, hook.Requests()) {
		if !strings.HasPrefix(event, "Insert t ") {
			t.Errorf("%s came", event)
		}
	}
	execute(t, dsn, "DELETE FROM walherald.parked; INSERT INTO t VALUES (100, 'a')")
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	if n := hook.Count(); n != 41 && n != 42 { // in line, and perhaps by schedule
		t.Errorf("%d requests after another row", n)
	}
}
