package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// hookReceiver takes webhooks but for those whose body holds refused.
type hookReceiver struct {
	mu     sync.Mutex
	bodies []string
}

const refused = `"n":2`

func (r *hookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil || strings.Contains(string(body), refused) {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
}

// parkedPlace has some parked notifications.
type parkedPlace struct {
	t      *testing.T
	path   string // of the configuration
	table  *parking.Table
	hooks  *hookReceiver
	parked []notifier.Parked
}

func newParkedPlace(t *testing.T) *parkedPlace {
	t.Helper()
	p := &parkedPlace{t: t, path: filepath.Join(t.TempDir(), "config.yml"), hooks: &hookReceiver{}}
	hooks := httptest.NewServer(p.hooks)
	t.Cleanup(hooks.Close)
	s := pgserver.Shared(t)
	db := config.Database{Host: s.Host(), Port: s.Port(), Name: s.TestDatabase(t), User: s.User()}
	text := fmt.Sprintf("listener: {slotName: wh}\ndatabase: {host: %s, port: %d, name: %s, user: %s}\n", db.Host, db.Port, db.Name, db.User) +
		"notifier: {rules: [{name: orders, destination: {name: billing, type: webhook, allowPrivate: true, url: " + hooks.URL + "}}]}\n"
	if err := os.WriteFile(p.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.table, err = parking.NewTable(db, config.Default().Listener.Schema, config.Default().Notifier.Parking); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.table.Close)
	return p
}

// park parks the events 0 to n-1.
func (p *parkedPlace) park(n int, reason string) {
	p.t.Helper()
	for i := range n {
		id, err := publisher.NewID(0x16B3748, uint64(len(p.parked)), 31)
		if err != nil {
			p.t.Fatal(err)
		}
		p.parked = append(p.parked, notifier.Parked{
			Destination: "billing", Reason: reason, Delivery: notifier.Delivery{
				ID: id, Rule: "orders", Topic: "public_orders", Table: "public.orders", Action: publisher.Update,
				Key: fmt.Append(nil, i), CommitTime: 1_767_323_045_678_901, Payload: fmt.Appendf(nil, `{"n":%d,"s":"<"}`, i),
			},
		})
	}
	if err := p.table.Park(p.t.Context(), p.parked); err != nil {
		p.t.Fatal(err)
	}
}

// run runs walherald parked and returns what it prints.
func (p *parkedPlace) run(want int, args ...string) string {
	p.t.Helper()
	var out bytes.Buffer
	if code := run(bounded(p.t), append([]string{"parked", "-c", p.path}, args...), &out, &out); code != want {
		p.t.Errorf("parked %v ends with %d, want %d:\n%s", args, code, want, &out)
	}
	return out.String()
}

func (p *parkedPlace) says(printed string, words ...string) {
	p.t.Helper()
	for _, w := range words {
		if !strings.Contains(printed, w) {
			p.t.Errorf("printed without %q:\n%s", w, printed)
		}
	}
}

func TestParkedIsListedAndShownForPeopleAndScripts(t *testing.T) {
	p := newParkedPlace(t)
	p.says(p.run(exitOK, "list"), "no parked notification matches")
	p.park(3, "status 503 \x1b[31m"+strings.Repeat("long ", 40))
	id := p.parked[1].ID.String()
	listed := p.run(exitOK, "list")
	p.says(listed, "DESTINATION", "billing", "public.orders", "UPDATE", id, "15 bytes", `status 503 \x1b[31m`, "…")
	if n := strings.Count(listed, "\n"); n != 4 {
		t.Errorf("%d lines:\n%s", n, listed)
	}
	p.says(p.run(exitOK, "list", "--limit", "2"), "--limit 0 lists all")
	p.says(p.run(exitOK, "list", "--older-than", "1h"), "no parked notification matches")
	p.says(p.run(exitOK, "list", "--rule", "others"), "no parked notification matches")

	var n parkedNotification
	if err := json.Unmarshal([]byte(p.run(exitOK, "list", "--json", "--id", id)), &n); err != nil {
		t.Fatal(err)
	}
	if n.ID != id || n.Key != "1" || n.Size != 15 || n.Payload != nil || n.CommitTime != "2026-01-02T03:04:05.678901Z" || n.Next == "" {
		t.Errorf("listed as %+v", n)
	}
	p.says(p.run(exitOK, "show", id), "0/16B3748", "public_orders", `status 503 \x1b[31m`, `{"n":1,"s":"<"}`)
	p.says(p.run(exitOK, "show", "--json", "--id", id), `"payload":{"n":1,"s":"<"}`)
	p.says(p.run(exitError, "show", "ffffffff"+id[8:]), "no notification of event")
	p.says(p.run(exitUsage, "show", "17"), "is not a UUID")
	p.says(p.run(exitUsage, "show"), "name one event")
	p.says(p.run(exitUsage, "list", "--limit", "-1"), "must not be negative")
}

func TestRetryDeliversNowAndFailsIfOneDoes(t *testing.T) {
	p := newParkedPlace(t)
	p.park(4, "status 503")
	p.says(p.run(exitUsage, "retry"), "or say --all")
	p.says(p.run(exitError, "retry", "--destination", "gone"), `no destination is called "gone"`, "billing")
	printed := p.run(exitError, "retry", "--all")
	p.says(printed, p.parked[0].ID.String()+" to billing: delivered", p.parked[2].ID.String()+" to billing: failed: ", "3 delivered, 1 failed")
	want := []string{`{"n":0,"s":"<"}`, `{"n":1,"s":"<"}`, `{"n":3,"s":"<"}`}
	if !slices.Equal(p.hooks.bodies, want) {
		t.Errorf("received %q, want %q", p.hooks.bodies, want)
	}
	p.says(p.run(exitOK, "list"), p.parked[2].ID.String(), "500")
	p.says(p.run(exitError, "retry", "--rule", "orders"), "0 delivered, 1 failed")
	p.says(p.run(exitOK, "retry", "--rule", "others"), "no parked notification matches")
}

func TestDropGivesNothingUpUnasked(t *testing.T) {
	p := newParkedPlace(t)
	p.park(shownBeforeDrop+5, "status 503")
	p.says(p.run(exitUsage, "drop", "--yes"), "or say --all")
	p.says(p.run(exitUsage, "drop", "--all", "--rule", "orders"), "no other selection")
	p.says(p.run(exitError, "drop", "--all"), p.parked[0].ID.String(), "and 5 more", "this would drop 25: 25 for billing", "--yes")
	p.says(p.run(exitOK, "drop", "--rule", "others", "--yes"), "dropped: 0")
	two := p.parked[0].ID.String() + "," + p.parked[1].ID.String()
	p.says(p.run(exitOK, "drop", "--id", two, "--yes"), "dropped: 2")
	p.says(p.run(exitOK, "drop", "--all", "--yes"), "dropped: 23")
	p.says(p.run(exitOK, "drop", "--all"), "no parked notification matches")
}

func TestTimesAreShownInUnitsThatStayReadable(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 3*time.Hour + 5*time.Minute: "3h5m", 49 * time.Hour: "2d1h",
	} {
		if got := ageOf(d); got != want {
			t.Errorf("%v is shown as %s, want %s", d, got, want)
		}
	}
}
