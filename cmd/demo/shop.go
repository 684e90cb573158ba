package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

const shopDatabase = "shop"

// schema is the shop. Every row counts its versions, so that a state can be
// compared by keys and versions alone. The old rows are in the log for rules that
// ask what a row was before.
const schema = `
CREATE TABLE users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL, city text NOT NULL, plan text NOT NULL DEFAULT 'free', version int NOT NULL DEFAULT 1);
CREATE TABLE inventory (
	sku text PRIMARY KEY, stock int NOT NULL, price numeric(10,2) NOT NULL, version int NOT NULL DEFAULT 1);
CREATE TABLE orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES users, sku text NOT NULL REFERENCES inventory, quantity int NOT NULL,
	total numeric(12,2) NOT NULL, status text NOT NULL DEFAULT 'new', version int NOT NULL DEFAULT 1);
CREATE INDEX ON orders (user_id);
CREATE INDEX ON orders (status) WHERE status <> 'shipped';
ALTER TABLE users REPLICA IDENTITY FULL;
ALTER TABLE inventory REPLICA IDENTITY FULL;
ALTER TABLE orders REPLICA IDENTITY FULL;
`

var (
	names  = []string{"Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Ken", "Frances", "Tony", "Hedy"}
	cities = []string{"Lisbon", "Nairobi", "Oslo", "Kyoto", "Montréal", "Zürich", "Valparaíso"}
	goods  = []string{"kettle", "lamp", "chair", "notebook", "teapot", "compass", "violin", "ladder"}
)

// shop is the database and what was committed to it.
type shop struct {
	conn *pgx.Conn
	rng  *rand.Rand
	// committed counts the row changes of transactions whose commit was
	// confirmed to us; doubtful those whose commit got no answer.
	committed, doubtful int
	transactions        int
	// told are the stories of what was committed.
	told []story
}

// story is a change that a rule asks for.
type story struct {
	rule  string
	about change
}

// deeds are what one transaction did.
type deeds struct {
	changes int
	told    []story
}

func (d *deeds) tell(rule, row string, version int) {
	d.told = append(d.told, story{rule, change{row, version}})
}

func openShop(ctx context.Context, admin, dsn string) (*shop, error) {
	first, err := pgx.Connect(ctx, admin)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	_, err = first.Exec(ctx, "CREATE DATABASE "+shopDatabase)
	if err := errors.Join(err, first.Close(ctx)); err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect to the shop: %w", err)
	}
	if _, err := conn.Exec(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("create tables: %w", err), conn.Close(ctx))
	}
	return &shop{conn: conn, rng: rand.New(rand.NewPCG(1, 2))}, nil //nolint:gosec // a demo's dice
}

func (s *shop) close() { _ = s.conn.Close(context.Background()) } // the server goes next

// trade opens the shop and makes transactions at the given rate until ctx
// ends. The transaction it is in then is finished, so that its outcome is known.
func (s *shop) trade(ctx context.Context, rate float64) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for opening := s.opening(); ; {
		var next work
		if len(opening) > 0 {
			next, opening = opening[0], opening[1:]
		} else {
			next = s.choose()
		}
		if err := s.do(context.WithoutCancel(ctx), next); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// work is what happens in one transaction.
type work func(ctx context.Context, tx pgx.Tx, did *deeds) error

// do runs one transaction and counts its changes once it is committed.
func (s *shop) do(ctx context.Context, w work) error {
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	did := new(deeds)
	if err := w(ctx, tx, did); err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if err := tx.Commit(ctx); err != nil {
		s.doubtful += did.changes
		return fmt.Errorf("commit: %w", err)
	}
	s.committed += did.changes
	s.told = append(s.told, did.told...)
	s.transactions++
	return nil
}

// rows returns the version of every row by table and key.
func (s *shop) rows(ctx context.Context) (map[string]int, error) {
	rows, err := s.conn.Query(ctx, `SELECT 'public.users/' || id, version FROM users
		UNION ALL SELECT 'public.orders/' || id, version FROM orders
		UNION ALL SELECT 'public.inventory/' || sku, version FROM inventory`)
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	state := make(map[string]int)
	var key string
	var version int
	_, err = pgx.ForEachRow(rows, []any{&key, &version}, func() error { state[key] = version; return nil })
	return state, err
}

// parked returns what is parked now.
func (s *shop) parked(ctx context.Context) (map[delivery]bool, error) {
	all := make(map[delivery]bool)
	var made bool
	if err := s.conn.QueryRow(ctx, "SELECT to_regclass('walherald.parked') IS NOT NULL").Scan(&made); err != nil || !made {
		return all, err // nothing was ever parked
	}
	rows, err := s.conn.Query(ctx, "SELECT destination, id::text FROM walherald.parked")
	if err != nil {
		return nil, fmt.Errorf("read the parking: %w", err)
	}
	var d delivery
	_, err = pgx.ForEachRow(rows, []any{&d.destination, &d.id}, func() error { all[d] = true; return nil })
	return all, err
}
