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
// compared by keys and versions alone.
const schema = `
CREATE TABLE users (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL, city text NOT NULL, since timestamptz NOT NULL DEFAULT now(), version int NOT NULL DEFAULT 1);
CREATE TABLE inventory (
	sku text PRIMARY KEY, stock int NOT NULL, price numeric(10,2) NOT NULL, version int NOT NULL DEFAULT 1);
CREATE TABLE orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id bigint NOT NULL REFERENCES users, sku text NOT NULL REFERENCES inventory, quantity int NOT NULL,
	total numeric(12,2) NOT NULL, paid bool NOT NULL DEFAULT false, version int NOT NULL DEFAULT 1);
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
	if err := s.do(context.WithoutCancel(ctx), s.stockUp); err != nil {
		return err
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.do(context.WithoutCancel(ctx), s.choose()); err != nil {
				return err
			}
		}
	}
}

// work is what happens in one transaction; it returns the rows it changed.
type work func(ctx context.Context, tx pgx.Tx) (changed int, err error)

// do runs one transaction and counts its changes once it is committed.
func (s *shop) do(ctx context.Context, w work) error {
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	n, err := w(ctx, tx)
	if err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	if err := tx.Commit(ctx); err != nil {
		s.doubtful += n
		return fmt.Errorf("commit: %w", err)
	}
	s.committed += n
	s.transactions++
	return nil
}

func (s *shop) choose() work {
	switch dice := s.rng.IntN(10); {
	case dice < 2:
		return s.signUp
	case dice < 6:
		return s.order
	case dice < 8:
		return s.pay
	case dice < 9:
		return s.cancel
	default:
		return s.move
	}
}

func pick[T any](s *shop, list []T) T { return list[s.rng.IntN(len(list))] }

func exec(ctx context.Context, tx pgx.Tx, sql string, args ...any) (int, error) {
	tag, err := tx.Exec(ctx, sql, args...)
	return int(tag.RowsAffected()), err
}

func (s *shop) stockUp(ctx context.Context, tx pgx.Tx) (int, error) {
	n := 0
	for i, g := range goods {
		k, err := exec(ctx, tx, "INSERT INTO inventory (sku, stock, price) VALUES ($1, 1000, $2::numeric)", g, fmt.Sprintf("%d.95", 5+7*i))
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

func (s *shop) signUp(ctx context.Context, tx pgx.Tx) (int, error) {
	return exec(ctx, tx, "INSERT INTO users (name, city) VALUES ($1, $2)", pick(s, names), pick(s, cities))
}

// order takes goods out of the inventory and writes the order, if there is a
// user to order and enough of the goods.
func (s *shop) order(ctx context.Context, tx pgx.Tx) (int, error) {
	sku, quantity := pick(s, goods), 1+s.rng.IntN(3)
	taken, err := exec(ctx, tx, "UPDATE inventory SET stock = stock - $2::int, version = version + 1 WHERE sku = $1 AND stock >= $2::int", sku, quantity)
	if err != nil {
		return 0, err
	}
	if taken == 0 { // sold out: restock instead
		return exec(ctx, tx, "UPDATE inventory SET stock = stock + 1000, version = version + 1 WHERE sku = $1", sku)
	}
	n, err := exec(ctx, tx, `INSERT INTO orders (user_id, sku, quantity, total)
		SELECT u.id, i.sku, $2::int, i.price * $2::int FROM inventory i, (SELECT id FROM users ORDER BY random() LIMIT 1) u WHERE i.sku = $1`, sku, quantity)
	return taken + n, err
}

const anOrder = "(SELECT id FROM orders WHERE NOT paid ORDER BY random() LIMIT 1)"

func (s *shop) pay(ctx context.Context, tx pgx.Tx) (int, error) {
	return exec(ctx, tx, "UPDATE orders SET paid = true, version = version + 1 WHERE id = "+anOrder)
}

func (s *shop) cancel(ctx context.Context, tx pgx.Tx) (int, error) {
	return exec(ctx, tx, "DELETE FROM orders WHERE id = "+anOrder)
}

func (s *shop) move(ctx context.Context, tx pgx.Tx) (int, error) {
	return exec(ctx, tx, "UPDATE users SET city = $1, version = version + 1 WHERE id = (SELECT id FROM users ORDER BY random() LIMIT 1)", pick(s, cities))
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
