package parking

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

const (
	// claimBatch is how many deliveries Retry claims at once.
	claimBatch = 100
	// giveBackTimeout bounds what a claim that runs out does as well.
	giveBackTimeout = 5 * time.Second
)

// claim is a delivery that nobody else tries before until has passed, by the
// server's clock. until also tells this claim from any other of the delivery.
type claim struct {
	destination string
	id          publisher.ID
	until       time.Time
}

// compare orders claims by id; one event can have several destinations.
func (c claim) compare(other claim) int {
	return cmp.Or(c.id.Compare(other.id), strings.Compare(c.destination, other.destination))
}

// Due implements notifier.Store. An attempt is cut off after two minutes. If ctx
// ends, what was claimed is given back, the attempt that was under way does not
// count, and the error is ctx's. [notifier.RetryAfter] of an attempt's error puts
// the next one off.
func (t *Table) Due(ctx context.Context, destination string, s notifier.Share, limit int, try func(ctx context.Context, p notifier.Parked) error) (int, error) {
	n := 0
	err := t.read("try parked deliveries of "+destination, func() error {
		args := pgx.NamedArgs{"destination": destination, "part": s.Part, "of": max(s.Of, 1)}
		claims, err := t.claim(ctx, "destination = @destination AND next_at <= now() AND "+shared, limit, args)
		if err != nil {
			return err
		}
		n, err = t.tryAll(ctx, claims, try)
		return err
	})
	return n, err
}

// shared is the condition of a share. The hash need not be the same on two servers.
const shared = "mod(abs(hashtext(tbl || encode(key, 'hex'))::bigint), @of::bigint) = @part::bigint"

// Retry hands the deliveries that the filter selects to try, due or not, as Due
// does. It returns how many were tried; those that are tried elsewhere at the
// moment are not among them.
func (t *Table) Retry(ctx context.Context, f Filter, try func(ctx context.Context, p notifier.Parked) error) (int, error) {
	n := 0
	err := t.read("try parked deliveries", func() error {
		var last claim
		for {
			limit := claimBatch
			if f.Limit > 0 {
				limit = min(limit, f.Limit-n)
			}
			args := f.args()
			args["lastID"], args["lastDestination"] = [16]byte(last.id), last.destination
			claims, err := t.claim(ctx, selected+" AND (id, destination) > (@lastID, @lastDestination)", limit, args)
			if err != nil || len(claims) == 0 {
				return err
			}
			last = claims[len(claims)-1]
			tried, err := t.tryAll(ctx, claims, try)
			n += tried
			if err != nil || f.Limit > 0 && n >= f.Limit {
				return err
			}
		}
	})
	return n, err
}

// claim claims at most limit deliveries that nobody else tries and for which
// where holds, and returns them in their order.
func (t *Table) claim(ctx context.Context, where string, limit int, args pgx.NamedArgs) ([]claim, error) {
	ctx, cancel := bounded(ctx, 0)
	defer cancel()
	args["lease"], args["limit"] = t.lease, limit
	rows, err := t.pool.Query(ctx, `WITH mine AS (
			SELECT destination AS d, id AS i FROM `+t.name+`
			WHERE (claimed_until IS NULL OR claimed_until <= now()) AND `+where+`
			ORDER BY id, destination LIMIT @limit FOR UPDATE SKIP LOCKED)
		UPDATE `+t.name+` SET claimed_until = now() + @lease::interval FROM mine WHERE destination = d AND id = i
		RETURNING destination, id, claimed_until`, args)
	if err != nil {
		return nil, err
	}
	claims, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c claim, err error) {
		err = row.Scan(&c.destination, (*[16]byte)(&c.id), &c.until)
		return c, err
	})
	slices.SortFunc(claims, claim.compare)
	return claims, err
}

// tryAll tries what was claimed, one after the other, and returns how many it
// tried. What it does not come to it gives back.
func (t *Table) tryAll(ctx context.Context, claims []claim, try func(ctx context.Context, p notifier.Parked) error) (int, error) {
	n := 0
	for i, c := range claims {
		err := ctx.Err()
		var tried bool
		if err == nil {
			tried, err = t.tryOne(ctx, c, try)
		}
		if tried {
			n++
		}
		if err != nil {
			t.giveBack(ctx, claims[i:])
			return n, err
		}
	}
	return n, nil
}

// tryOne tries one delivery and notes what came of it. It reports false if the
// delivery is no longer ours or there, or ctx ended before the attempt did.
func (t *Table) tryOne(ctx context.Context, c claim, try func(ctx context.Context, p notifier.Parked) error) (bool, error) {
	// It begins before the server's does, so it ends before.
	attempt, cancel := context.WithTimeout(ctx, t.lease)
	defer cancel()
	p, until, err := t.renew(attempt, c)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.until = until
	failure := try(attempt, p)
	// What has happened is noted even if ctx ends meanwhile.
	note, cancel := bounded(context.WithoutCancel(ctx), 0)
	defer cancel()
	switch {
	case failure == nil:
		return true, t.done(note, c)
	case ctx.Err() != nil:
		t.giveBack(ctx, []claim{c})
		return false, ctx.Err()
	case notifier.IsNotTried(failure):
		t.giveBack(ctx, []claim{c})
		return false, nil
	}
	return true, t.failed(note, c, p.Attempts+1, failure)
}

// renew makes a claim last from now on and reads the delivery. It returns
// pgx.ErrNoRows if the claim ran out and somebody else has the delivery, or has
// done away with it.
func (t *Table) renew(ctx context.Context, c claim) (p notifier.Parked, until time.Time, err error) {
	rows, err := t.pool.Query(ctx, `UPDATE `+t.name+` SET claimed_until = now() + $1::interval
		WHERE destination = $2 AND id = $3 AND claimed_until = $4 RETURNING `+fields+`, claimed_until`,
		t.lease, c.destination, [16]byte(c.id), c.until)
	if err != nil {
		return p, until, err
	}
	p, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (notifier.Parked, error) {
		return scan(row, &until)
	})
	return p, until, err
}

// done removes what was delivered, whoever has a claim on it by now.
func (t *Table) done(ctx context.Context, c claim) error {
	_, err := t.pool.Exec(ctx, "DELETE FROM "+t.name+" WHERE destination = $1 AND id = $2", c.destination, [16]byte(c.id))
	return err
}

// failed notes that an attempt failed and when the next one is made.
func (t *Table) failed(ctx context.Context, c claim, attempts int, failure error) error {
	next := t.after(attempts)
	if wait := notifier.RetryAfter(failure); next != nil && wait > *next {
		next = &wait
	}
	conn, err := t.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Exec(ctx, `UPDATE `+t.name+` SET attempts = $4, reason = $5,
		next_at = CASE WHEN NOT manual THEN now() + $6::interval END, claimed_until = NULL
		WHERE destination = $1 AND id = $2 AND claimed_until = $3`,
		c.destination, [16]byte(c.id), c.until, attempts, textFor(conn.Conn())(failure.Error()), next)
	return err
}

// giveBack ends claims before their time. Where it cannot, they run out.
func (t *Table) giveBack(ctx context.Context, claims []claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTimeout)
	defer cancel()
	var batch pgx.Batch
	for _, c := range claims {
		batch.Queue("UPDATE "+t.name+" SET claimed_until = NULL WHERE destination = $1 AND id = $2 AND claimed_until = $3",
			c.destination, [16]byte(c.id), c.until)
	}
	_ = t.pool.SendBatch(ctx, &batch).Close()
}
