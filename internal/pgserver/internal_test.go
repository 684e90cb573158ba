package pgserver

import (
	"net"
	"testing"

	"github.com/walherald/walherald/internal/pgserver/child"
)

func TestTakenPortIsToldFromOtherFailures(t *testing.T) {
	s := ForTest(t, Options{})
	if err := s.Stop(t.Context(), Fast); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port = taken.Addr().(*net.TCPAddr).Port
	if err := s.start(t.Context()); !child.PortTaken(err) {
		t.Fatalf("start on a taken port returned %v", err)
	}
	_ = taken.Close()
	if err := s.start(t.Context()); err != nil {
		t.Fatalf("start on the port once it was free: %v", err)
	}
}

func TestMajorVersionOfReleasesAndBetas(t *testing.T) {
	for text, want := range map[string]int{
		"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (PostgreSQL) 12":                               12,
		"postgres (PostgreSQL) 9.6.24\n":                         9,
	} {
		if got, err := majorVersion(text); err != nil || got != want {
			t.Errorf("majorVersion(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "postgres", "postgres (PostgreSQL) devel"} {
		if got, err := majorVersion(text); err == nil {
			t.Errorf("majorVersion(%q) = %d without an error", text, got)
		}
	}
}
