package service

import (
	"fmt"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/receiver"
	"github.com/walherald/walherald/internal/tracereceiver"
	"github.com/walherald/walherald/publisher"
)

// traceOfFirst reads the header traceparent of the first message of stream cdc.
func traceOfFirst(t *testing.T, url string) string {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "cdc")
	if err != nil {
		t.Fatal(err)
	}
	m, err := st.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get(publisher.HeaderTraceParent)
}

func TestConsumersOfEveryOutputGoOnWithTheTraceOfTheirBatch(t *testing.T) {
	traces, hook, broker := tracereceiver.New(t), receiver.New(t, receiver.Options{}), natsserver.InProcess(t)
	cfg, dsn := notifying(t, fmt.Sprintf(`
publisher: {name: shop, type: nats, topic: cdc, address: "%s"}
monitoring: {environment: staging, tracing: {endpoint: "%s"}}
notifier:
  parking: {schedule: [1h]}
  rules: [{name: all, table: t, destination: crm}]
  destinations: [{name: crm, type: webhook, url: "%s", allowPrivate: true}]
`, broker.ClientURL(), traces.URL(), hook.URL()))
	r := start(t, cfg, nil)
	r.log.await(t, "streaming")
	execute(t, dsn, "INSERT INTO t VALUES (7, 'Konfidenz')")
	hook.Await(t, 1)
	awaitReached(t, dsn, cfg, query(t, dsn, endOfLog))
	r.stop() // which sends what is left
	if err := r.end(t); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"deliver shop": traceOfFirst(t, broker.ClientURL()),
		"deliver crm":  hook.Requests()[0].Header.Get(publisher.HeaderTraceParent),
	}
	systems := map[string]string{"deliver shop": "nats", "deliver crm": "webhook"}
	spans := traces.Spans(t)
	if len(spans) != len(got) {
		t.Fatalf("%d spans have come, want %d", len(spans), len(got))
	}
	for _, s := range spans {
		if got[s.Name] != s.TraceParent() {
			t.Errorf("consumers of %q got %q, want %q", s.Name, got[s.Name], s.TraceParent())
		}
		a := tracereceiver.Attributes(s.Attributes)
		if a["messaging.system"] != systems[s.Name] || a["walherald.output"] != strings.TrimPrefix(s.Name, "deliver ") {
			t.Errorf("%q has the attributes %v", s.Name, a)
		}
		if about := tracereceiver.Attributes(s.Resource.Attributes); about["deployment.environment"] != "staging" || about["service.version"] != "test" {
			t.Errorf("%q is of %v", s.Name, about)
		}
	}
	for _, req := range traces.Requests() {
		if strings.Contains(string(req.Body), "Konfidenz") {
			t.Error("data of a row is in a trace")
		}
	}
}

func TestDeadCollectorHoldsNothingUpAndLosesNoChange(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	hangs := receiver.New(t, receiver.Options{Answer: receiver.Always(receiver.Hang(never))})
	for name, endpoint := range map[string]string{"nobody listens": strings.TrimSuffix(nowhere(t), "/hook"), "it hangs": hangs.URL()} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
			cfg, dsn := configuration(t, func(c *config.Config) { c.Monitoring.Tracing.Endpoint = endpoint })
			const rows = 50
			seen := make(chan publisher.Message, rows)
			r := start(t, cfg, func(batch []publisher.Message, _ time.Time) {
				for _, m := range batch {
					seen <- m
				}
			})
			r.log.await(t, "streaming")
			for i := range rows {
				execute(t, dsn, fmt.Sprintf("INSERT INTO t VALUES (%d, 'x')", i))
				select {
				case <-seen:
				case err := <-r.ended:
					t.Fatalf("the service has ended: %v", err)
				}
			}
			r.stop()
			if err := r.end(t); err != nil {
				t.Error(err)
			}
			r.log.await(t, "traces ") // are lost: at once, or at the end
		})
	}
}
