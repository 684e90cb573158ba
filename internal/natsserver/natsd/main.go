// Command natsd is a JetStream server for tests and benchmarks that need one in
// a process of its own, to kill it or to measure it. Package natsserver builds
// and starts it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() { os.Exit(run(os.Args[1:])) }

// run serves until SIGTERM or SIGINT and returns the exit code. The server
// itself ends the process with code 1 when it cannot start.
func run(args []string) int {
	opts, err := options(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s, err := server.NewServer(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start NATS server:", err)
		return 1
	}
	s.ConfigureLogger()
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

// options turns the command line into the server's options.
func options(args []string) (*server.Options, error) {
	opts := &server.Options{Host: "127.0.0.1", JetStream: true, NoSigs: true}
	flags := flag.NewFlagSet("natsd", flag.ContinueOnError)
	flags.IntVar(&opts.Port, "port", -1, "port for clients on 127.0.0.1; -1 means any")
	flags.StringVar(&opts.StoreDir, "store", "", "folder of the streams")
	flags.StringVar(&opts.ServerName, "name", "natsd", "server name, unique in a cluster")
	maxPayload := flags.Int("max_payload", server.MAX_PAYLOAD_SIZE, "largest message in bytes")
	flags.Int64Var(&opts.JetStreamMaxStore, "max_store", 0, "limit of the store in bytes; 0 means by free space")
	flags.DurationVar(&opts.SyncInterval, "sync_interval", 2*time.Minute, "how often the store is forced to disk; 0 means before every acknowledgement")
	flags.StringVar(&opts.Cluster.Name, "cluster", "", "cluster name; empty means a server alone")
	flags.IntVar(&opts.Cluster.Port, "cluster_port", 0, "port for the other servers of the cluster")
	flags.IntVar(&opts.HTTPPort, "http_port", 0, "port for monitoring; 0 means none")
	routes := flags.String("routes", "", "URLs of the cluster's servers, separated by commas")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if opts.StoreDir == "" {
		return nil, errors.New("natsd: -store is missing")
	}
	opts.MaxPayload = int32(*maxPayload)
	opts.SyncAlways = opts.SyncInterval == 0
	opts.HTTPHost = opts.Host
	if opts.Cluster.Name != "" {
		opts.Cluster.Host = opts.Host
		opts.Routes = server.RoutesFromStr(*routes)
	}
	return opts, nil
}
