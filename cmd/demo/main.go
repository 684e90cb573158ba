// Command demo shows walherald at its work: a private PostgreSQL with a small
// shop in it, a JetStream server inside walherald, and every change of the
// shop printed the moment it is confirmed.
//
// It runs until it is interrupted, or for the time in the environment variable
// DURATION (such as 15s), and then closes the books: it reads the stream back,
// counts what is lost or repeated, and rebuilds the shop from the events to
// compare it with the tables. It ends with 1 if anything is missing, repeated or
// out of order.
//
// RATE is the number of transactions a second (default 25).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/service"
)

func main() {
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

	cfg, err := demoConfig(pg, dir)
	if err != nil {
		return err
	}
	out.say("PostgreSQL %d on port %d, JetStream inside walherald on %s, probes and metrics on http://127.0.0.1:%d",
		pg.Version(), pg.Port(), cfg.Publisher.Embedded.Listen, cfg.Listener.ServerPort)
	return trade(ctx, set, cfg, shop, out)
}

// trade runs walherald and the shop side by side and closes the books.
func trade(ctx context.Context, set settings, cfg *config.Config, shop *shop, out *screen) error {
	serviceCtx, stopService := context.WithCancel(context.WithoutCancel(ctx))
	defer stopService()
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	go func() {
		ended <- service.Run(serviceCtx, cfg, service.Options{Version: "demo", Log: log, Observe: out.confirmed})
	}()

	books := &ledger{cfg: cfg, shop: shop, out: out}
	err := books.awaitReady(ctx, ended)
	if err == nil {
		out.say("Open for business. Ctrl-C closes the shop and the books.\n")
		tradeCtx, closeShop := withDuration(ctx, set.duration)
		err = shop.trade(tradeCtx, set.rate)
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

// demoConfig is the configuration of the demo. All that is special in it is the
// heartbeat: the books are closed when the position has reached the end of the
// log, which may lie beyond the last commit and is then told by that alone.
func demoConfig(pg *pgserver.Server, dir string) (*config.Config, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	cfg := config.Default()
	cfg.Listener.SlotName = "walherald"
	cfg.Listener.ServerPort = ports[0]
	cfg.Listener.HeartbeatInterval = time.Second
	cfg.Monitoring.PromAddr = net.JoinHostPort("", strconv.Itoa(ports[0]))
	cfg.Database = config.Database{Host: pg.Host(), Port: pg.Port(), Name: shopDatabase, User: "postgres"}
	cfg.Publisher.Type = config.PublisherNATS
	cfg.Publisher.Topic = "shop"
	cfg.Publisher.Embedded = &config.Embedded{
		Listen:   net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[1])),
		StoreDir: filepath.Join(dir, "jetstream"), SyncInterval: time.Second,
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &cfg, nil
}

// freePorts returns ports nobody listens on at the moment.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
