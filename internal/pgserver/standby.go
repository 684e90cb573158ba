package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// StartStandby starts a hot standby of a running server and returns once it takes
// read-only connections. It is a server like any other: of the same version, with
// the same superuser and password, a folder and a port of its own, and ended with
// Close.
//
// It starts from a copy of the data folder, with all the settings in it, and
// follows over 127.0.0.1 through a physical slot of the primary: standby_1 for a
// primary's first standby, standby_2 for the second. The slot stays, and holds back
// the primary's log, when the standby ends: do not make one of a [Shared] server.
// hot_standby_feedback is on, and primary_conninfo names a database, which is what
// the synchronisation of slots asks for (PostgreSQL 17 and newer, with
// sync_replication_slots=on here and failover slots there). The primary may have
// synchronized_standby_slots=standby_1 from its start; the standby has it empty.
//
// settings are added to these and replace them. Without a deadline in ctx it gives
// up after a minute.
func (s *Server) StartStandby(ctx context.Context, settings map[string]string) (*Server, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	folder, err := child.NewFolder(folderPattern)
	if err != nil {
		return nil, err
	}
	standby := &Server{installation: s.installation, owner: s.owner, folder: folder, password: s.password, primary: s}
	if err := standby.follow(ctx, settings); err != nil {
		return nil, errors.Join(fmt.Errorf("start a standby: %w", err), standby.Close())
	}
	return standby, nil
}

// follow makes the standby's slot and data folder and starts it.
func (s *Server) follow(ctx context.Context, settings map[string]string) error {
	slot := fmt.Sprintf("standby_%d", s.primary.standbys.Add(1))
	// It holds the log from before the copy on, so that the copy needs none.
	if err := s.primary.exec(ctx, "SELECT pg_create_physical_replication_slot('"+slot+"', true)"); err != nil {
		return err
	}
	if err := s.owner.own(s.folder.Path); err != nil {
		return err
	}
	if err := s.backup(ctx); err != nil {
		return err
	}
	if err := s.WriteFile("standby.signal", nil); err != nil {
		return err
	}
	all := map[string]string{
		"unix_socket_directories": s.folder.Path,
		"primary_conninfo":        s.primary.conninfo(slot),
		"primary_slot_name":       slot,
		"hot_standby_feedback":    "on",
	}
	if s.Version() >= 17 {
		all["synchronized_standby_slots"] = "" // the primary's slots are not ours
	}
	maps.Copy(all, settings)
	if err := s.appendSettings(all); err != nil {
		return err
	}
	return s.startAnywhere(ctx)
}

// conninfo returns how a standby connects to s.
func (s *Server) conninfo(application string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s.password)
	return fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=postgres application_name=%s",
		host, s.Port(), superuser, quoted, application)
}

// Promote makes a standby a primary, on a timeline of its own, and returns once it
// takes writes. It does not ask whether the old primary still runs.
func (s *Server) Promote(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.exec(ctx, "SELECT pg_promote(wait => false)"); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	return s.awaitTrue(ctx, "the end of recovery", "SELECT NOT pg_is_in_recovery()")
}

// CatchUp waits until a standby has replayed, and so shows, everything that was
// committed on its primary when it was called. The primary must run.
func (s *Server) CatchUp(ctx context.Context) error {
	if s.primary == nil {
		return errors.New("catch up: this server is no standby")
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	conn, err := s.primary.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var written string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&written); err != nil {
		return fmt.Errorf("ask the primary for its position: %w", err)
	}
	return s.awaitTrue(ctx, "the replay of "+written, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written)
}

// awaitTrue polls until a query has the answer true.
func (s *Server) awaitTrue(ctx context.Context, what, sql string, args ...any) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		var answer bool
		if err := conn.QueryRow(ctx, sql, args...).Scan(&answer); err != nil {
			return fmt.Errorf("wait for %s: %w\n%s", what, err, s.LogTail())
		}
		if answer {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w\n%s", what, ctx.Err(), s.LogTail())
		}
	}
}
