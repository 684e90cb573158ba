package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/walherald/walherald/config"
)

const (
	// healthTimeout bounds the question: an answer is made from memory.
	healthTimeout = 5 * time.Second
	// maxHealthAnswer is how much of an answer is shown.
	maxHealthAnswer = 4 << 10
)

func healthcheckCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the service on this machine whether it is alive, as container engines do",
		Long: `Ask the service on this machine whether it is alive, as container engines do.

It asks /healthz where the configuration serves it: at listener.serverPort, or else at
monitoring.address. That is about the process alone, and not about a broker or a database
that is gone, which no restart brings back. It ends with 0 if the answer is 200, else
with 1.`,
		Example: `  walherald healthcheck -c config.yml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := healthcheck(cmd.Context(), *path); err != nil {
				return &runError{err: err}
			}
			return nil
		},
	}
}

// healthcheck asks /healthz of the service that runs with the configuration at
// path. Anything but 200 is an error.
func healthcheck(ctx context.Context, path string) error {
	cfg, err := config.Load(path)
	if err != nil {
		if cfg = brokenAddresses(path); cfg == nil {
			return err
		}
	}
	addr, err := healthAddr(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return fmt.Errorf("ask for /healthz at %s: %w", addr, err)
	}
	client := http.Client{Transport: new(http.Transport)} // without the proxies of the environment
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask for health: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealthAnswer))
	if resp.StatusCode != http.StatusOK || err != nil {
		return fmt.Errorf("ask for health: /healthz at %s answers %s: %s", addr, resp.Status, cmp.Or(string(bytes.TrimSpace(body)), "nothing"))
	}
	return nil
}

// brokenAddresses looks in a configuration that cannot be used for where /healthz is
// served; nil if it does not say. The file may have been changed under a service that
// runs well, and that nobody should end for it.
func brokenAddresses(path string) *config.Config {
	var file struct {
		Listener struct {
			ServerPort int `yaml:"serverPort"`
		} `yaml:"listener"`
		Monitoring struct {
			Address string `yaml:"address"`
		} `yaml:"monitoring"`
	}
	text, err := os.ReadFile(path)
	if err != nil || yaml.Unmarshal(text, &file) != nil {
		return nil
	}
	cfg := config.Default()
	cfg.Listener.ServerPort = file.Listener.ServerPort
	if port, err := strconv.Atoi(os.Getenv("WAL_LISTENER_SERVERPORT")); err == nil {
		cfg.Listener.ServerPort = port
	}
	cfg.Monitoring.Address = cmp.Or(os.Getenv("WAL_MONITORING_ADDRESS"), file.Monitoring.Address, cfg.Monitoring.Address)
	return &cfg
}

// healthAddr returns where the configuration serves /healthz, as reached from the
// same machine. The port of the probes goes first: a service that does not get it
// does not start, whereas monitoring.address by default gives way.
func healthAddr(cfg *config.Config) (string, error) {
	if port := cfg.Listener.ServerPort; port != 0 {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
	}
	if cfg.Monitoring.Address == "" || cfg.Monitoring.Address == config.AddressOff {
		return "", errors.New("ask for health: the configuration serves /healthz nowhere; set monitoring.address or listener.serverPort")
	}
	host, port, err := net.SplitHostPort(cfg.Monitoring.Address)
	if err != nil {
		return "", fmt.Errorf("ask for health: monitoring.address: %w", err)
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
