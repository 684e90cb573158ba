package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// opening is what the first transactions do: each story happens once in them.
func (s *shop) opening() []work {
	return []work{
		s.stockUp, s.signUp, s.signUp, s.signUp, s.orderOf(scarce, stockOfScarce-lowBelow+1), s.order,
		s.pay, s.ship, s.upgrade, s.leave,
	}
}

// choose lets the dice decide. What tells a story is rare enough to be watched at
// 25 transactions a second.
func (s *shop) choose() work {
	dice := s.rng.IntN(100)
	for _, w := range []struct {
		share int
		work  work
	}{
		{10, s.signUp},
		{6, s.order},
		{6, s.pay},
		{5, s.ship},
		{1, s.cancel},
		{3, s.upgrade},
		{2, s.leave},
		{3, s.restock},
		{30, s.move},
	} {
		if dice -= w.share; dice < 0 {
			return w.work
		}
	}
	return s.reprice
}

func pick[T any](s *shop, list []T) T { return list[s.rng.IntN(len(list))] }

// exec changes rows and counts them.
func exec(ctx context.Context, tx pgx.Tx, did *deeds, sql string, args ...any) error {
	tag, err := tx.Exec(ctx, sql, args...)
	did.changes += int(tag.RowsAffected())
	return err
}

// change1 changes one row at most, counts it and reads what the statement returns.
func change1(ctx context.Context, tx pgx.Tx, did *deeds, into []any, sql string, args ...any) (changed bool, err error) {
	err = tx.QueryRow(ctx, sql, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	did.changes++
	return true, nil
}

const (
	// scarce is what the first order brings to run low.
	scarce        = "violin"
	stockOfScarce = 7
	usualStock    = 20
)

func (s *shop) stockUp(ctx context.Context, tx pgx.Tx, did *deeds) error {
	for i, sku := range goods {
		stock := usualStock
		if sku == scarce {
			stock = stockOfScarce
		}
		price := fmt.Sprintf("%d.95", 5+7*i)
		if err := exec(ctx, tx, did, "INSERT INTO inventory (sku, stock, price) VALUES ($1, $2, $3::numeric)", sku, stock, price); err != nil {
			return err
		}
	}
	return nil
}

func (s *shop) restock(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return exec(ctx, tx, did, `UPDATE inventory SET stock = stock + $1, version = version + 1
		WHERE sku = (SELECT sku FROM inventory WHERE stock < $2 ORDER BY stock, sku LIMIT 1)`, usualStock, lowBelow)
}

func (s *shop) reprice(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return exec(ctx, tx, did, "UPDATE inventory SET price = price + CASE WHEN price < 5 OR random() < 0.5 THEN 0.5 ELSE -0.5 END, version = version + 1 WHERE sku = $1",
		pick(s, goods))
}

func (s *shop) signUp(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return exec(ctx, tx, did, "INSERT INTO users (name, city) VALUES ($1, $2)", pick(s, names), pick(s, cities))
}

func (s *shop) move(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return exec(ctx, tx, did, "UPDATE users SET city = $1, version = version + 1 WHERE id = (SELECT id FROM users ORDER BY random() LIMIT 1)", pick(s, cities))
}

func (s *shop) upgrade(ctx context.Context, tx pgx.Tx, did *deeds) error {
	var row string
	var version int
	changed, err := change1(ctx, tx, did, []any{&row, &version}, `UPDATE users SET plan = 'premium', version = version + 1
		WHERE id = (SELECT id FROM users WHERE plan = 'free' ORDER BY random() LIMIT 1) RETURNING 'public.users/' || id, version`)
	if changed {
		did.tell(planUpgraded, row, version)
	}
	return err
}

// leave deletes a user who has no orders.
func (s *shop) leave(ctx context.Context, tx pgx.Tx, did *deeds) error {
	var row string
	changed, err := change1(ctx, tx, did, []any{&row}, `DELETE FROM users WHERE id = (SELECT id FROM users u
		WHERE NOT EXISTS (SELECT FROM orders WHERE user_id = u.id) ORDER BY random() LIMIT 1) RETURNING 'public.users/' || id`)
	if changed {
		did.tell(userDeleted, row, gone)
	}
	return err
}

func (s *shop) order(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return s.orderOf(pick(s, goods), 1+s.rng.IntN(3))(ctx, tx, did)
}

// orderOf takes goods out of the inventory and writes the order, if there is a
// user to order and enough of the goods.
func (s *shop) orderOf(sku string, quantity int) work {
	return func(ctx context.Context, tx pgx.Tx, did *deeds) error {
		var left, version int
		taken, err := change1(ctx, tx, did, []any{&left, &version}, `UPDATE inventory SET stock = stock - $2::int, version = version + 1
			WHERE sku = $1 AND stock >= $2::int RETURNING stock, version`, sku, quantity)
		if err != nil {
			return err
		}
		if !taken { // sold out
			return s.restock(ctx, tx, did)
		}
		if left < lowBelow && left+quantity >= lowBelow {
			did.tell(lowStock, "public.inventory/"+sku, version)
		}
		var row string
		placed, err := change1(ctx, tx, did, []any{&row, &version}, `INSERT INTO orders (user_id, sku, quantity, total)
			SELECT u.id, i.sku, $2::int, i.price * $2::int FROM inventory i, (SELECT id FROM users ORDER BY random() LIMIT 1) u WHERE i.sku = $1
			RETURNING 'public.orders/' || id, version`, sku, quantity)
		if placed {
			did.tell(orderPlaced, row, version)
		}
		return err
	}
}

// someOrder is the id of any order of the status $1.
const someOrder = "(SELECT id FROM orders WHERE status = $1 ORDER BY random() LIMIT 1)"

func (s *shop) pay(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return exec(ctx, tx, did, "UPDATE orders SET status = 'paid', version = version + 1 WHERE id = "+someOrder, "new")
}

func (s *shop) cancel(ctx context.Context, tx pgx.Tx, did *deeds) error {
	return exec(ctx, tx, did, "DELETE FROM orders WHERE id = "+someOrder, "new")
}

func (s *shop) ship(ctx context.Context, tx pgx.Tx, did *deeds) error {
	var row string
	var version int
	changed, err := change1(ctx, tx, did, []any{&row, &version}, "UPDATE orders SET status = 'shipped', version = version + 1 WHERE id = "+someOrder+
		" RETURNING 'public.orders/' || id, version", "paid")
	if changed {
		did.tell(orderShipped, row, version)
	}
	return err
}
