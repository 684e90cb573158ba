package parking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// fields are the columns that scan reads.
const fields = "destination, id, rule, topic, tbl, action, key, commit_time, payload, attempts, reason, manual, parked_at, next_at"

// listed are the same without the payload.
const listed = "destination, id, rule, topic, tbl, action, key, commit_time, NULL::bytea, attempts, reason, manual, parked_at, next_at"

// List returns the deliveries that the filter selects, in the order of their ids
// and without payloads. It changes nothing; without a table there are none.
func (t *Table) List(ctx context.Context, f Filter) ([]Entry, error) {
	var all []Entry
	err := t.read("list parked deliveries", func() error {
		ctx, cancel := bounded(ctx, 0)
		defer cancel()
		rows, err := t.pool.Query(ctx, "SELECT "+listed+", length(payload) FROM "+t.name+
			" WHERE "+selected+" ORDER BY id, destination LIMIT @limit::bigint", f.args())
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Entry, err error) {
			e.Parked, err = scan(row, &e.Size)
			return e, err
		})
		return err
	})
	return all, err
}

// Get returns an event's deliveries, one for each destination it is parked for,
// with payloads: those of them that the filter selects.
func (t *Table) Get(ctx context.Context, id publisher.ID, f Filter) ([]notifier.Parked, error) {
	var all []notifier.Parked
	f.IDs = []publisher.ID{id}
	err := t.read("read parked delivery", func() error {
		ctx, cancel := bounded(ctx, 0)
		defer cancel()
		rows, err := t.pool.Query(ctx, "SELECT "+fields+" FROM "+t.name+" WHERE "+selected+" ORDER BY destination LIMIT @limit::bigint", f.args())
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (notifier.Parked, error) { return scan(row) })
		return err
	})
	return all, err
}

// Drop gives up the deliveries that the filter selects, for ever, those that are
// being tried at the moment included, and returns how many there were.
func (t *Table) Drop(ctx context.Context, f Filter) (int, error) {
	n := 0
	err := t.read("drop parked deliveries", func() error {
		ctx, cancel := bounded(ctx, 0)
		defer cancel()
		done, err := t.pool.Exec(ctx, "DELETE FROM "+t.name+" WHERE (destination, id) IN (SELECT destination, id FROM "+t.name+
			" WHERE "+selected+" ORDER BY id, destination LIMIT @limit::bigint)", f.args())
		n = int(done.RowsAffected())
		return err
	})
	return n, err
}

// Expire gives up what was parked longer ago than maxAge, but for what is being
// tried at the moment, and returns how many deliveries of each destination that
// were. A maxAge of 0 gives up none.
func (t *Table) Expire(ctx context.Context, maxAge time.Duration) (map[string]int, error) {
	gone := make(map[string]int)
	if maxAge <= 0 {
		return gone, nil
	}
	err := t.read("give up old parked deliveries", func() error {
		ctx, cancel := bounded(ctx, 0)
		defer cancel()
		rows, err := t.pool.Query(ctx, "WITH gone AS (DELETE FROM "+t.name+" WHERE parked_at < now() - $1::interval"+
			" AND (claimed_until IS NULL OR claimed_until <= now()) RETURNING destination)"+
			" SELECT destination, count(*) FROM gone GROUP BY destination", maxAge)
		if err != nil {
			return err
		}
		var destination string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&destination, &n}, func() error { gone[destination] = n; return nil })
		return err
	})
	return gone, err
}

// Stock returns what is parked, by destination. One for which nothing is parked
// is not among them.
func (t *Table) Stock(ctx context.Context) (map[string]Stock, error) {
	all := make(map[string]Stock)
	err := t.read("count parked deliveries", func() error {
		ctx, cancel := bounded(ctx, 0)
		defer cancel()
		rows, err := t.pool.Query(ctx, "SELECT destination, count(*), count(*) FILTER (WHERE next_at IS NULL), min(parked_at) FROM "+
			t.name+" GROUP BY destination")
		if err != nil {
			return err
		}
		var destination string
		var s Stock
		_, err = pgx.ForEachRow(rows, []any{&destination, &s.Number, &s.Waiting, &s.Oldest}, func() error { all[destination] = s; return nil })
		return err
	})
	return all, err
}

// scan reads a delivery, and what comes behind it into more.
func scan(row pgx.CollectableRow, more ...any) (notifier.Parked, error) {
	var p notifier.Parked
	var action string
	var committed time.Time
	var next *time.Time
	err := row.Scan(append([]any{
		&p.Destination, (*[16]byte)(&p.ID), &p.Rule, &p.Topic, &p.Table, &action, &p.Key, &committed, &p.Payload,
		&p.Attempts, &p.Reason, &p.Manual, &p.ParkedAt, &next,
	}, more...)...)
	p.Action, p.CommitTime = actionOf(action), committed.UnixMicro()
	if next != nil {
		p.Next = *next
	}
	return p, err
}

// selected is the condition of a filter with its args.
const selected = `(@rule::text = '' OR rule = @rule::text) AND (@destination::text = '' OR destination = @destination::text)
	AND (@age::interval IS NULL OR parked_at < now() - @age::interval) AND (@ids::uuid[] IS NULL OR id = ANY (@ids::uuid[]))`

func (f *Filter) args() pgx.NamedArgs {
	args := pgx.NamedArgs{"rule": f.Rule, "destination": f.Destination, "age": (*time.Duration)(nil), "ids": idsOf(f.IDs)}
	if f.OlderThan > 0 {
		args["age"] = &f.OlderThan
	}
	if args["limit"] = (*int)(nil); f.Limit > 0 {
		args["limit"] = &f.Limit
	}
	return args
}

// idsOf is nil, which is NULL, for none.
func idsOf(ids []publisher.ID) [][16]byte {
	var all [][16]byte
	for _, id := range ids {
		all = append(all, id)
	}
	return all
}
