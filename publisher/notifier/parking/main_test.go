package parking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgserver.WithShared(m)) }

// patience bounds every wait.
const patience = time.Minute

const schema = "walherald"

// hour is a schedule whose times no test lives to see; see place.elapse.
var hour = config.Parking{Schedule: []time.Duration{time.Hour, 2 * time.Hour}}

// place is a database in which deliveries are parked.
type place struct {
	t  *testing.T
	db config.Database
	s  *pgserver.Server
}

func newPlace(t *testing.T) *place {
	t.Helper()
	s := pgserver.Shared(t)
	return &place{t: t, s: s, db: config.Database{Host: s.Host(), Port: s.Port(), Name: s.TestDatabase(t), User: s.User()}}
}

// table opens the table, as one process would.
func (p *place) table(cfg config.Parking) *Table {
	p.t.Helper()
	t, err := NewTable(p.db, schema, cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(t.Close)
	return t
}

func (p *place) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // clean-ups use it, too
	p.t.Cleanup(cancel)
	return ctx
}

func (p *place) exec(sql string) {
	p.t.Helper()
	conn := p.connect()
	defer func() { _ = conn.Close(p.ctx()) }()
	if _, err := conn.Exec(p.ctx(), sql); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
}

func (p *place) value(sql string) (v string) {
	p.t.Helper()
	conn := p.connect()
	defer func() { _ = conn.Close(p.ctx()) }()
	if err := conn.QueryRow(p.ctx(), sql).Scan(&v); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (p *place) connect() *pgx.Conn {
	p.t.Helper()
	conn, err := pgx.Connect(p.ctx(), p.s.DSN(p.db.Name))
	if err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// elapse makes every time in the table so much earlier, as if it had passed.
func (p *place) elapse(d time.Duration) {
	p.t.Helper()
	p.exec(fmt.Sprintf(`UPDATE walherald.parked SET parked_at = parked_at - interval '%[1]d s', next_at = next_at - interval '%[1]d s',
		claimed_until = claimed_until - interval '%[1]d s'`, int(d.Seconds())))
}

// delivery is the n-th event as it is parked for a destination.
func delivery(destination string, n int) notifier.Parked {
	id, err := publisher.NewID(0x16B3748+uint64(n/3), uint64(n%3), 7)
	if err != nil {
		panic(err)
	}
	return notifier.Parked{
		Delivery: notifier.Delivery{
			ID: id, Rule: "orders", Topic: "public_orders", Table: "public.orders", Action: publisher.Update,
			Key: fmt.Appendf(nil, "%d", n), CommitTime: 1_700_000_000_123_456, Payload: fmt.Appendf(nil, `{"n":%d}`, n),
		},
		Destination: destination, Reason: "status 503",
	}
}

func deliveries(destination string, n int) []notifier.Parked {
	var ds []notifier.Parked
	for i := range n {
		ds = append(ds, delivery(destination, i))
	}
	return ds
}

func (p *place) park(t *Table, ds ...notifier.Parked) {
	p.t.Helper()
	if err := t.Park(p.ctx(), ds); err != nil {
		p.t.Fatal(err)
	}
}

// list returns what is parked.
func (p *place) list(t *Table, f Filter) []Entry {
	p.t.Helper()
	all, err := t.List(p.ctx(), f)
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// due tries what is due of destination "hook" and returns the ids it was handed.
func (p *place) due(t *Table, limit int, answer error) (ids []publisher.ID) {
	p.t.Helper()
	n, err := t.Due(p.ctx(), "hook", notifier.Share{}, limit, func(_ context.Context, d notifier.Parked) error {
		ids = append(ids, d.ID)
		return answer
	})
	if err != nil || n != len(ids) {
		p.t.Fatalf("%d were due and %d tried: %v", n, len(ids), err)
	}
	return ids
}

func idsOfAll(ds []notifier.Parked) (ids []publisher.ID) {
	for _, d := range ds {
		ids = append(ids, d.ID)
	}
	return ids
}

func wantIDs(t *testing.T, what string, got, want []publisher.ID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

var errDown = errors.New("status 500")
