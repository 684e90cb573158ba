package main

import (
	"os"
	"slices"
	"testing"

	"github.com/walherald/walherald/config"
)

// loaded is the configuration of places that nobody lives in.
func loaded(t *testing.T) *config.Config {
	t.Helper()
	p := &places{
		Folder: t.TempDir(), Host: "127.0.0.1", Port: 5432, Database: shopDatabase, Page: 1001, Probes: 1002, JetStream: 1003,
		Token: newToken(), Secret: newSecret(), Receiver: "http://127.0.0.1:1004",
	}
	cfg, err := p.load()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Monitoring.Token.Reveal() != p.Token || cfg.Monitoring.Address != "127.0.0.1:1001" || cfg.Listener.ServerPort != 1002 {
		t.Errorf("monitoring is %+v, port %d", cfg.Monitoring, cfg.Listener.ServerPort)
	}
	if info, err := os.Stat(p.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the secrets: %v, %v", info.Mode(), err)
	}
	return cfg
}

func TestConfigurationHasARuleForEachStoryAndSignsAll(t *testing.T) {
	cfg := loaded(t)
	var rules, names []string
	for _, r := range cfg.Notifier.Rules {
		rules = append(rules, r.Name)
	}
	slices.Sort(rules)
	if want := slices.Sorted(slices.Values(stories)); !slices.Equal(rules, want) {
		t.Errorf("the rules are %v, the stories %v", rules, want)
	}
	for _, n := range cfg.Notifications() {
		names = append(names, n.Name)
		if len(n.SigningSecrets) != 1 || !n.AllowPrivate || n.OnFailure != config.OnFailurePark {
			t.Errorf("destination %s is %+v", n.Name, n.Destination)
		}
		if n.Name == courierFails.destination && excuse <= n.Circuit.OpenFor {
			t.Errorf("what is parked while the circuit is open for %v is excused for %v alone", n.Circuit.OpenFor, excuse)
		}
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(endpoints)); !slices.Equal(names, want) {
		t.Errorf("the destinations are %v, the endpoints %v", names, want)
	}
}

func TestVariablesOfARealWalheraldDoNotReachTheDemo(t *testing.T) {
	t.Setenv("WAL_DATABASE_NAME", "production")
	dropVariables()
	if cfg := loaded(t); cfg.Database.Name != shopDatabase {
		t.Errorf("the database is %s", cfg.Database.Name)
	}
}
