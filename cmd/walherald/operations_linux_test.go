package main

import (
	"context"
	enc "encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/pgserver"
)

// listening returns the TCP addresses at which a process listens (proc_pid_net(5)).
func listening(t *testing.T, pid int) (addrs []string) {
	t.Helper()
	own := sockets(t, pid)
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const stateListen = "0A"
			if f := strings.Fields(line); len(f) > 9 && f[3] == stateListen && own["socket:["+f[9]+"]"] {
				addrs = append(addrs, procAddr(t, f[1]))
			}
		}
	}
	slices.Sort(addrs)
	return addrs
}

// sockets are what the process has open, by the names of their links.
func sockets(t *testing.T, pid int) map[string]bool {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) == 0 {
		t.Fatalf("the process %d has nothing open: %v", pid, err)
	}
	open := make(map[string]bool)
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil { // else it is closed by now
			open[name] = true
		}
	}
	return open
}

// procAddr reads an address as it stands in the tables: words in the machine's order.
func procAddr(t *testing.T, text string) string {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	var ip []byte
	for i := 0; i < len(words); i += 4 {
		ip = enc.NativeEndian.AppendUint32(ip, enc.BigEndian.Uint32(words[i:]))
	}
	addr, _ := netip.AddrFromSlice(ip)
	var n uint16
	if _, err := fmt.Sscanf(port, "%X", &n); err != nil || !addr.IsValid() {
		t.Fatalf("address %s: %v", text, err)
	}
	return netip.AddrPortFrom(addr, n).String()
}

func TestOneServerAnswersAllAtAnAddressThatIsGivenTwice(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	for name, keys := range map[string]string{
		"promAddr":                "monitoring: {promAddr: '127.0.0.1:%[1]d', address: '127.0.0.1:%[1]d'}\n",
		"serverPort":              "  serverPort: %[1]d\nmonitoring: {address: '0.0.0.0:%[1]d'}\n",
		"serverPort and promAddr": "  serverPort: %[1]d\nmonitoring: {promAddr: ':%[1]d', address: '[::]:%[1]d'}\n",
	} {
		t.Run(name, func(t *testing.T) {
			db, port := s.TestDatabase(t), freePort(t)
			d := daemonOf(t, port, source(s, db)+fmt.Sprintf(keys, port)+toNATS(broker.URL()))
			d.start()
			d.awaitReady()
			for path, words := range map[string]string{
				"/": "<html", "/status": `"state":"ready"`, "/ready": `"status":"ready"`, "/healthz": `"alive":true`,
				"/health": "alive", "/metrics": "walherald_transactions_total", "/openapi.yaml": "openapi:",
			} {
				d.want(http.StatusOK, []string{words}, http.MethodGet, path, "")
			}
			if ports := listening(t, d.proc.Pid()); len(ports) != 1 {
				t.Errorf("the process listens at %q", ports)
			}
		})
	}
}

func TestOffOpensNothingAndAMissingHostIsLoopback(t *testing.T) {
	s, broker := pgserver.Shared(t), natsserver.ForTest(t, natsserver.Options{})
	for address, want := range map[string]string{"off": "[]", ":%d": "[127.0.0.1:%d]"} {
		port := freePort(t)
		if strings.Contains(address, "%") {
			address, want = fmt.Sprintf(address, port), fmt.Sprintf(want, port)
		}
		d := daemonOf(t, port, fmt.Sprintf("%smonitoring: {address: '%s'}\n%s", source(s, s.TestDatabase(t)), address, toNATS(broker.URL())))
		d.start()
		eventually(t, "the process to stream", func(context.Context) (bool, error) {
			d.mustRun()
			return strings.Contains(d.log(), `"msg":"streaming"`), nil
		})
		if got := fmt.Sprint(listening(t, d.proc.Pid())); got != want {
			t.Errorf("with the address %s the process listens at %s, want %s", address, got, want)
		}
	}
}
