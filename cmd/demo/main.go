// Command demo shows walherald at its work: a private PostgreSQL with a small
// shop in it, a JetStream server inside walherald, and every change of the
// shop printed the moment it is confirmed.
//
// Five stories of the shop are rules of the notifier: a plan is upgraded, an order
// placed, an order shipped, goods run low, a user goes. They are sent as signed
// webhooks to a receiver inside the demo, which checks them, prints them and shows them
// on a page of its own. One of its three endpoints is out of order now and then, so
// that attempts, circuit, parking and redelivery can be watched. config.yml is what
// walherald runs with.
//
// It runs until it is interrupted, or for the time in the environment variable
// DURATION (such as 15s), and then closes the books: it reads the stream back,
// counts what is lost or repeated, and rebuilds the shop from the events to
// compare it with the tables; and it compares the notifications that the shop gave
// cause for with those that were accepted or are parked. It ends with 1 if anything is
// missing, repeated in the stream or out of order, or a signature is wrong.
//
// RATE is the number of transactions a second (default 25).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/service"
)

func main() {
	dropVariables()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// settings are what the environment says.
type settings struct {
	duration time.Duration // 0: until interrupted
	rate     float64       // transactions a second
}

func readSettings() (settings, error) {
	s := settings{rate: 25}
	var err error
	if v := os.Getenv("DURATION"); v != "" {
		if s.duration, err = time.ParseDuration(v); err != nil || s.duration <= 0 {
			return s, fmt.Errorf("DURATION: %q is not a duration such as 15s", v)
		}
	}
	if v := os.Getenv("RATE"); v != "" {
		if s.rate, err = strconv.ParseFloat(v, 64); err != nil || s.rate <= 0 {
			return s, fmt.Errorf("RATE: %q is not a number of transactions a second", v)
		}
	}
	return s, nil
}

func run(ctx context.Context) error {
	set, err := readSettings()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "walherald-demo-")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)

	out := newScreen(os.Stdout)
	out.say("Starting a private PostgreSQL …")
	pg, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		return err
	}
	defer pg.Close()
	shop, err := openShop(ctx, pg.DSN("postgres"), pg.DSN(shopDatabase))
	if err != nil {
		return err
	}
	defer shop.close()
	return open(ctx, set, pg, dir, shop, out)
}

// open starts the receiver, tells where everything is, and trades.
func open(ctx context.Context, set settings, pg *pgserver.Server, dir string, shop *shop, out *screen) error {
	secret := newSecret()
	recv, err := startReceiver(secret, courierFails, out.webhook)
	if err != nil {
		return err
	}
	defer recv.close()
	place, err := choosePlaces(pg, dir, recv.url(), secret)
	if err != nil {
		return err
	}
	cfg, err := place.load()
	if err != nil {
		return err
	}
	recv.linkTo(place.page())
	out.addresses(pg.Version(), place)
	return trade(ctx, set, &ledger{cfg: cfg, shop: shop, recv: recv, out: out})
}

// trade runs walherald and the shop side by side and closes the books.
func trade(ctx context.Context, set settings, books *ledger) error {
	serviceCtx, stopService := context.WithCancel(context.WithoutCancel(ctx))
	defer stopService()
	ended := make(chan error, 1)
	go func() {
		ended <- service.Run(serviceCtx, books.cfg, service.Options{Version: "demo", Log: books.out.log(), Observe: books.out.confirmed})
	}()

	err := books.awaitReady(ctx, ended)
	if err == nil {
		books.out.say("Open for business. Ctrl-C closes the shop and the books.\n")
		tradeCtx, closeShop := withDuration(ctx, set.duration)
		books.recv.shopOpens()
		err = books.shop.trade(tradeCtx, set.rate)
		closeShop()
		err = errors.Join(err, books.close(context.WithoutCancel(ctx), ended))
	}
	stopService()
	if !books.serviceEnded {
		err = errors.Join(err, <-ended)
	}
	return err
}

func withDuration(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
