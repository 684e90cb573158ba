package listener

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/pgserver/child"
)

func TestCheckNeverShowsThePassword(t *testing.T) {
	const password = "correct horse"
	c := newChecked(t, pgserver.Options{Password: password})
	expectOnly(t, c.check(t), 0, 0)

	const wrong = "battery 'staple"
	c.db.Password = wrong
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database.password",
		fmt.Sprintf("127.0.0.1:%d", c.Port()), "28P01", "WAL_LISTENER_DB_PASSWORD")
	if text := fmt.Sprintf("%+v", found); strings.Contains(text, wrong) || strings.Contains(text, "staple") {
		t.Errorf("the password is shown: %s", text)
	}
}

func TestCheckNamesWhyItCannotConnect(t *testing.T) {
	c := newCheckedDatabase(t)
	free, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	c.exec(t, "CREATE ROLE check_nologin NOLOGIN")
	t.Cleanup(func() { _, _ = c.admin.Exec(context.Background(), "DROP ROLE check_nologin") })
	for name, test := range map[string]struct {
		change func(*config.Database)
		path   string
		words  []string
	}{
		"nobody listens": {
			func(db *config.Database) { db.Port = free }, "database.host",
			[]string{fmt.Sprintf("127.0.0.1:%d: connect: connection refused", free), "listen_addresses"},
		},
		"no such host":      {func(db *config.Database) { db.Host = "nowhere.invalid" }, "database.host", []string{"nowhere.invalid", "correct the name"}},
		"no such database":  {func(db *config.Database) { db.Name = "nothing" }, "database.name", []string{"3D000", "create the database"}},
		"no such role":      {func(db *config.Database) { db.User = "nobody" }, "database.user", []string{"28000", "LOGIN"}},
		"role cannot login": {func(db *config.Database) { db.User = "check_nologin" }, "database.user", []string{"28000", "LOGIN"}},
		"server without TLS": {
			func(db *config.Database) { db.SSLMode = config.SSLModeRequire }, "database.sslMode",
			[]string{"server refused TLS", "turn ssl on"},
		},
		"no file of authorities": {
			func(db *config.Database) { db.SSL.CACert = filepath.Join(t.TempDir(), "none.pem") }, "database.ssl.caCert",
			[]string{"none.pem", "PEM file"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := c.db
			test.change(&db)
			found := Check(t.Context(), c.cfg, db)
			if len(found) != 1 {
				t.Errorf("found %d things without a connection:\n%s", len(found), listed(found))
			}
			expectOnly(t, found, 1, 0)
			expectFinding(t, found, config.FindingError, test.path, test.words...)
		})
	}
}

// selfSigned makes a certificate for name that it has signed itself.
func selfSigned(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestCheckTellsWhatIsWrongWithACertificate(t *testing.T) {
	cert, key := selfSigned(t, "db.example")
	c := newChecked(t, pgserver.Options{})
	for name, content := range map[string][]byte{"server.crt": cert, "server.key": key} {
		if err := c.WriteFile(name, content); err != nil {
			t.Fatal(err)
		}
	}
	c.exec(t, "ALTER SYSTEM SET ssl = on")
	c.restart(t)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, cert, 0o600); err != nil {
		t.Fatal(err)
	}

	c.db.SSLMode, c.db.SSL.ServerName = config.SSLModeVerifyFull, "db.example"
	expectFinding(t, c.check(t), config.FindingError, "database.ssl.caCert", "unknown authority", "PEM file")
	c.db.SSL = config.SSL{CACert: authority}
	expectFinding(t, c.check(t), config.FindingError, "database.ssl.serverName", "127.0.0.1", "verify-ca")
	c.db.SSL.ServerName = "db.example"
	found := c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "database", "with TLS")
}

// serveOnly listens and hands each connection to serve, in a goroutine that is
// waited for.
func serveOnly(t *testing.T, serve func(net.Conn)) config.Database {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return config.Database{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Name: "postgres", User: "postgres"}
}

// refuseReplication plays a pooler that knows nothing of replication.
func refuseReplication(t *testing.T) config.Database {
	t.Helper()
	return serveOnly(t, func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			t.Error(err)
		}
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
		if err := backend.Flush(); err != nil {
			t.Error(err)
		}
	})
}

// ignoreReplication plays a pooler that was told to ignore the parameter: the
// server behind it takes replication commands for bad SQL.
func ignoreReplication(t *testing.T) config.Database {
	t.Helper()
	return serveOnly(t, func(conn net.Conn) {
		backend := pgproto3.NewBackend(conn, conn)
		if _, err := backend.ReceiveStartupMessage(); err != nil {
			t.Error(err)
		}
		backend.Send(&pgproto3.AuthenticationOk{})
		backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte("key.")})
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := backend.Flush(); err != nil {
			t.Error(err)
		}
		if _, err := backend.Receive(); err != nil {
			t.Error(err)
		}
		backend.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42601", Message: `syntax error at or near "IDENTIFY_SYSTEM"`})
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := backend.Flush(); err != nil {
			t.Error(err)
		}
		_, _ = backend.Receive() // its end
	})
}

// Failure 21 of docs/failures.md.
func TestPoolerThatPassesNoReplicationOnIsNamed(t *testing.T) {
	for words, db := range map[string]config.Database{
		"unsupported startup parameter": refuseReplication(t), "syntax error": ignoreReplication(t),
	} {
		found := Check(t.Context(), config.Listener{SlotName: "wh"}, db)
		expectOnly(t, found, 1, 0)
		expectFinding(t, found, config.FindingError, "database.host", words, "pgbouncer")
		// The service says so too.
		_, err := connect(t.Context(), db, "wh")
		if err == nil {
			t.Fatal("connected")
		}
		guaranteeWords(t, err.Error(), words, "database.host", "pgbouncer")
	}
}

// renumber passes a connection on to a server, with another process number for
// the client, as poolers give it.
func renumber(t *testing.T, client net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	for header := make([]byte, 5); ; {
		if _, err := io.ReadFull(server, header); err != nil {
			break
		}
		body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			break
		}
		if header[0] == 'K' { // BackendKeyData
			body[0] ^= 0x40
		}
		if _, err := client.Write(slices.Concat(header, body)); err != nil {
			break
		}
	}
	_ = client.Close()
	<-ended
}

// Failure 21 of docs/failures.md.
func TestCheckNamesAPoolerThatPassesReplicationOn(t *testing.T) {
	c := newCheckedDatabase(t)
	expectOnly(t, c.check(t), 0, 0)
	address := fmt.Sprintf("127.0.0.1:%d", c.Port())
	c.db.Port = serveOnly(t, func(conn net.Conn) { renumber(t, conn, address) }).Port
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "database.host", fmt.Sprintf("a pooler or proxy answers at 127.0.0.1:%d", c.db.Port), "name PostgreSQL itself")
}

func TestCheckEndsWithItsContextWhenTheServerIsSilent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	db := serveOnly(t, func(conn net.Conn) {
		cancel()
		_, _ = conn.Read(make([]byte, 1<<10)) // the startup message
		_, _ = conn.Read(make([]byte, 1))     // its end
	})
	found := Check(ctx, config.Listener{SlotName: "wh"}, db)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database.host", "canceled")
}
