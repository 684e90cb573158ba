package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// ownContent lists the folders whose content is the running server's own: a copy
// has them empty. The log comes through the standby's slot.
var ownContent = []string{"pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"}

// ownFiles lists the files that tell of the running process.
var ownFiles = []string{"postmaster.pid", "postmaster.opts"}

// backup copies the data folder of the running primary, as
// https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
// describes it: pg_basebackup does not come with every installation, and that of
// another version may refuse.
func (s *Server) backup(ctx context.Context) error {
	start, stop := "pg_backup_start($1, true)", "pg_backup_stop(false)"
	if s.Version() < 15 {
		start, stop = "pg_start_backup($1, true, false)", "pg_stop_backup(false, false)"
	}
	conn, err := s.primary.connect(ctx) // one session for both
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "SELECT "+start, "standby"); err != nil {
		return fmt.Errorf("begin a backup of the primary: %w", err)
	}
	if err := s.copyData(ctx, s.primary.DataDir()); err != nil {
		return fmt.Errorf("copy the primary's data folder: %w", err)
	}
	var label string
	if err := conn.QueryRow(ctx, "SELECT labelfile FROM "+stop).Scan(&label); err != nil {
		return fmt.Errorf("end the backup of the primary: %w", err)
	}
	return s.WriteFile("backup_label", []byte(label))
}

// copyData copies the data folder of a running server, whose files may go at any
// moment.
func (s *Server) copyData(ctx context.Context, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return ignoreGone(err)
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(s.DataDir(), name)
		switch {
		case slices.Contains(ownContent, name):
			if err := s.makeFolder(to); err != nil {
				return err
			}
			return fs.SkipDir
		case entry.IsDir():
			return s.makeFolder(to)
		case slices.Contains(ownFiles, name):
			return nil
		default:
			return ignoreGone(s.copyFile(path, to))
		}
	})
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// makeFolder makes a folder that only the server's user can enter.
func (s *Server) makeFolder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return s.owner.own(path)
}

func (s *Server) copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return s.owner.own(to)
}
