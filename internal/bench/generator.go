package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// generator commits one row a turn. The turns are due at a steady pace and are
// dealt out to the connections in rotation; a connection that comes too late
// for a turn by a whole rotation misses it, so that the pace does not turn
// into bursts.
type generator struct {
	dsn      string
	first    int64 // the first turn's id
	turns    int
	interval time.Duration
	conns    int

	committed atomic.Int64
	took      time.Duration
}

// run connects and takes all turns.
func (g *generator) run(ctx context.Context) error {
	conns := make([]*pgx.Conn, g.conns)
	for i := range conns {
		conn, err := pgx.Connect(ctx, g.dsn)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		conns[i] = conn
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i, conn := range conns {
		group.Go(func() error { return g.work(ctx, conn, i, start) })
	}
	err := group.Wait()
	g.took = time.Since(start)
	return err
}

// work takes the turns of connection number i.
func (g *generator) work(ctx context.Context, conn *pgx.Conn, i int, start time.Time) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for turn := i; turn < g.turns; turn += g.conns {
		due := start.Add(time.Duration(turn) * g.interval)
		if time.Since(due) > time.Duration(g.conns)*g.interval {
			continue
		}
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		id := g.first + int64(turn)
		if _, err := conn.Exec(ctx, insertRows, id, id); err != nil {
			return fmt.Errorf("commit row: %w", err)
		}
		g.committed.Add(1)
	}
	return nil
}
