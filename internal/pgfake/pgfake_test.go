package pgfake_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/internal/pgfake"
	"github.com/walherald/walherald/listener/pgoutput"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var shop = pgfake.NewDatabase("shop", "slot")

// start starts a server whose first replication connection plays a script.
func start(t testing.TB, script pgfake.Script) (context.Context, *pgfake.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx, pgfake.Start(ctx, t, pgfake.Options{Sessions: []pgfake.Script{script}})
}

// connect connects as walherald does, or as an ordinary client.
func connect(ctx context.Context, t testing.TB, s *pgfake.Server, password string, replication bool) (*pgconn.PgConn, error) {
	t.Helper()
	cfg, err := pgconn.ParseConfig("sslmode=disable user=ada database=shop")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Host, cfg.Port, cfg.Password = s.Host(), uint16(s.Port()), password
	if replication {
		cfg.RuntimeParams["replication"] = "database"
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

// stream connects and starts replication at a position.
func stream(ctx context.Context, t testing.TB, s *pgfake.Server, at pglogrepl.LSN) *pgconn.PgConn {
	t.Helper()
	conn, err := connect(ctx, t, s, "", true)
	if err != nil {
		t.Fatal(err)
	}
	err = pglogrepl.StartReplication(ctx, conn, "slot", at, pglogrepl.StartReplicationOptions{PluginArgs: []string{"proto_version '1'"}})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != code {
		t.Errorf("got %v, want an error with code %s", err, code)
	}
}

func TestPasswordIsAskedForInEitherForm(t *testing.T) {
	for name, ask := range map[string]func(string) pgfake.Step{"clear": pgfake.AskPassword, "md5": pgfake.AskMD5} {
		ctx, s := start(t, append(pgfake.Script{ask("right")}, shop.Serve()...))
		if _, err := connect(ctx, t, s, "right", true); err != nil {
			t.Errorf("%s: right password: %v", name, err)
		}
		_, err := connect(ctx, t, s, "wrong", true)
		wantCode(t, err, "28P01")
	}
}

func TestRefusalReachesTheClientWithItsCode(t *testing.T) {
	ctx, s := start(t, pgfake.Script{pgfake.Refuse("53300", "too many clients")})
	_, err := connect(ctx, t, s, "", true)
	wantCode(t, err, "53300")
}

func TestQueriesAreAnsweredByTheFirstRuleThatIsAboutThem(t *testing.T) {
	ctx, s := start(t, pgfake.Script{pgfake.Login(), pgfake.Answer(
		pgfake.On("now()", pgfake.Row("today", pgfake.Null)),
		pgfake.Table("things", map[string]string{"a": "1", "b": "2"}),
		pgfake.On("denied", pgfake.Error("42501", "no")),
		pgfake.On("silent", pgfake.Silence()),
		pgfake.On("", pgfake.Nothing()),
	)})
	conn, err := connect(ctx, t, s, "", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sql  string
		want []string
	}{
		{"SELECT now()", []string{"today", "NULL"}},
		{"SELECT b::text, c,\n\ta FROM things WHERE a = 1", []string{"2", "NULL", "1"}},
		{"SELECT a FROM otherthings", nil},
	} {
		results, err := conn.Exec(ctx, tt.sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", tt.sql, err)
		}
		var got []string
		for _, row := range results[0].Rows {
			for _, cell := range row {
				text := string(cell)
				if cell == nil {
					text = "NULL"
				}
				got = append(got, text)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.sql, got, tt.want)
		}
	}
	_, err = conn.Exec(ctx, "SELECT denied").ReadAll()
	wantCode(t, err, "42501")
	impatient, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(impatient, "SELECT silent").ReadAll(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: got %v", err)
	}
	if n := len(s.Queries()); n != 5 {
		t.Errorf("%d queries are remembered: %q", n, s.Queries())
	}
}

func TestOrdinaryConnectionsNeverHang(t *testing.T) {
	ctx, s := start(t, pgfake.Script{pgfake.Refuse("57P03", "starting up")})
	conn, err := pgx.Connect(ctx, "postgres://ada@"+net.JoinHostPort(s.Host(), strconv.Itoa(s.Port()))+"/shop?sslmode=prefer")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE TABLE t ()", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Errorf("simple protocol: %v", err)
	}
	_, err = conn.Exec(ctx, "SELECT $1::int", 1)
	wantCode(t, err, "0A000")
}

func TestWhatTheClientTellsIsRemembered(t *testing.T) {
	at := []byte("frame")
	ctx, s := start(t, shop.Serve(pgfake.Send(at), pgfake.AwaitFlush(0x30), pgfake.Send(at), pgfake.AwaitStatuses(1)))
	conn := stream(ctx, t, s, 0x10)
	for _, flush := range []pglogrepl.LSN{0x20, 0x30} {
		status := pglogrepl.StandbyStatusUpdate{WALWritePosition: 0x40, WALFlushPosition: flush, WALApplyPosition: 0x50}
		if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, status); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if m, err := conn.ReceiveMessage(ctx); err != nil {
			t.Fatal(err)
		} else if data, ok := m.(*pgproto3.CopyData); !ok || !slices.Equal(data.Data, at) {
			t.Fatalf("received %v", m)
		}
	}
	if err := pglogrepl.SendStandbyStatusUpdate(ctx, conn, pglogrepl.StandbyStatusUpdate{WALWritePosition: 0x30}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReceiveMessage(ctx); err == nil {
		t.Error("the script has ended, the connection has not")
	}
	_ = conn.Close(ctx)
	s.AwaitPlayed(1)
	if got := s.Flushed(); !slices.Equal(got, []pgoutput.LSN{0x20, 0x30, 0x30}) {
		t.Errorf("told positions are %v", got)
	}
	if got := s.Starts(); !slices.Equal(got, []pgoutput.LSN{0x10}) {
		t.Errorf("streams were asked for at %v", got)
	}
}

func TestConnectionEndsAsTheScriptSays(t *testing.T) {
	half := pgfake.SendHalf(pgfake.Keepalive(0x10, true))
	for _, tt := range []struct {
		name string
		ends pgfake.Step
		want error
	}{
		{"FIN", pgfake.Say(), io.ErrUnexpectedEOF},
		{"RST", pgfake.Reset(), syscall.ECONNRESET},
	} {
		ctx, s := start(t, shop.Serve(pgfake.AwaitStatuses(1), half, pgfake.AwaitStatuses(1), tt.ends))
		raw, err := stream(ctx, t, s, 0).Hijack()
		if err != nil {
			t.Fatal(err)
		}
		tell := func() {
			raw.Frontend.Send(&pgproto3.CopyData{Data: pgoutput.AppendStandbyStatus(nil, 0, 0, 0, time.Now(), false)})
			if err := raw.Frontend.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		tell()
		// The half of a keepalive of 18 bytes, and its header.
		if _, err := io.ReadFull(raw.Conn, make([]byte, 5+9)); err != nil {
			t.Fatal(err)
		}
		tell()
		n, err := io.ReadFull(raw.Conn, make([]byte, 9))
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if n != 0 || !errors.Is(err, tt.want) {
			t.Errorf("%s: %d bytes and %v after the half", tt.name, n, err)
		}
		_ = raw.Conn.Close()
	}
}

func TestConnectionsPlayTheScriptsInTurnAndTheLastAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	s := pgfake.Start(ctx, t, pgfake.Options{
		Sessions: []pgfake.Script{{pgfake.Refuse("57P03", "one")}, {pgfake.Refuse("53300", "two")}},
		Ordinary: pgfake.Script{pgfake.Refuse("28000", "no")},
	})
	for _, code := range []string{"57P03", "53300", "53300"} {
		_, err := connect(ctx, t, s, "", true)
		wantCode(t, err, code)
	}
	_, err := connect(ctx, t, s, "", false)
	wantCode(t, err, "28000")
}

// reports is a testing.TB that keeps errors to itself.
type reports struct {
	testing.TB
	cleanup []func()
	errors  chan string
}

func (r *reports) Helper()          {}
func (r *reports) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *reports) Errorf(format string, args ...any) {
	var b strings.Builder
	b.WriteString(format)
	for _, a := range args {
		if err, ok := a.(error); ok {
			b.WriteString(" " + err.Error())
		}
	}
	r.errors <- b.String()
}

func TestWhatTheScriptWaitsForInVainFailsTheTest(t *testing.T) {
	for name, tt := range map[string]struct {
		step pgfake.Step
		say  []byte
		want string
	}{
		"position that is never told": {pgfake.AwaitFlush(0x20), nil, "await flushed position 0/20"},
		"statuses that never come":    {pgfake.AwaitStatuses(1), nil, "await 1 status updates"},
		"message that is no status":   {pgfake.Hang(), []byte("nonsense"), "no status update"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		r := &reports{TB: t, errors: make(chan string, 10)}
		s := pgfake.Start(ctx, r, pgfake.Options{Sessions: []pgfake.Script{shop.Serve(tt.step)}})
		conn := stream(ctx, t, s, 0)
		if tt.say != nil {
			conn.Frontend().Send(&pgproto3.CopyData{Data: tt.say})
			if err := conn.Frontend().Flush(); err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.Close(ctx)
		select {
		case got := <-r.errors:
			if !strings.Contains(got, tt.want) {
				t.Errorf("%s: the test is told %q", name, got)
			}
		case <-ctx.Done():
			t.Errorf("%s: the test does not fail", name)
		}
		for _, f := range r.cleanup {
			f()
		}
		cancel()
	}
}
