package main

import (
	"bytes"
	"crypto/rand"
	_ "embed" // for config.yml
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
)

//go:embed config.yml
var configText string

// configTemplate makes the configuration of places.
var configTemplate = template.Must(template.New("config.yml").Option("missingkey=error").Parse(configText))

// places are where everything is in this run.
type places struct {
	Folder string
	// The database.
	Host     string
	Port     int
	Database string
	// Ports of loopback.
	Page, Probes, JetStream int
	// Token is what the page asks for before it changes something, Secret signs
	// webhooks to Receiver, a URL.
	Token, Secret, Receiver string
}

// choosePlaces finds ports and makes a token for the run.
func choosePlaces(pg *pgserver.Server, folder, receiver, secret string) (*places, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	return &places{
		Folder: folder, Host: pg.Host(), Port: pg.Port(), Database: shopDatabase,
		Page: ports[0], Probes: ports[1], JetStream: ports[2],
		Token: newToken(), Secret: secret, Receiver: receiver,
	}, nil
}

// page is where walherald's own page is.
func (p *places) page() string { return fmt.Sprintf("http://127.0.0.1:%d/", p.Page) }

// file is where the configuration is written.
func (p *places) file() string { return filepath.Join(p.Folder, "config.yml") }

// load writes the configuration and reads it as walherald does.
func (p *places) load() (*config.Config, error) {
	var text bytes.Buffer
	if err := configTemplate.Execute(&text, p); err != nil {
		return nil, fmt.Errorf("make configuration: %w", err)
	}
	if err := os.WriteFile(p.file(), text.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return config.Load(p.file())
}

// dropVariables keeps variables that are meant for a real walherald away from the
// demo's.
func dropVariables() {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "WAL_") {
			_ = os.Unsetenv(name) // fails for names that cannot be
		}
	}
}

// newToken returns a token nobody can guess.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// newSecret returns a signing secret (Standard Webhooks 1.0, "Symmetric signatures").
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
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
