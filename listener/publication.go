package listener

import (
	"context"
	"fmt"
	"strings"

	"github.com/walherald/walherald/config"
)

// The publications that are used where none is named: ours, or that of
// wal-listener, whose slots go on with it.
const (
	defaultPublication = "walherald"
	legacyPublication  = "wal-listener"
)

// publicationExists reports whether the database has the publication.
func (l *link) publicationExists(ctx context.Context, name string) (bool, error) {
	rows, err := l.query(ctx, "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = "+quoteLiteral(name))
	if err != nil {
		return false, fmt.Errorf("read publication %q: %w", name, err)
	}
	return len(rows) > 0, nil
}

// choosePublication returns the publication's name and whether it exists.
func (l *link) choosePublication(ctx context.Context, cfg config.Publication) (name string, exists bool, err error) {
	if cfg.Name != "" {
		exists, err = l.publicationExists(ctx, cfg.Name)
		return cfg.Name, exists, err
	}
	for _, name := range []string{defaultPublication, legacyPublication} {
		if exists, err = l.publicationExists(ctx, name); exists || err != nil {
			return name, exists, err
		}
	}
	return defaultPublication, false, nil
}

func (l *link) createPublication(ctx context.Context, name string, tables []string) error {
	sql := "CREATE PUBLICATION " + quoteIdent(name)
	if len(tables) == 0 {
		sql += " FOR ALL TABLES"
	} else {
		quoted := make([]string, len(tables))
		for i, t := range tables {
			quoted[i] = quoteTable(t)
		}
		sql += " FOR TABLE " + strings.Join(quoted, ", ")
	}
	if _, err := l.query(ctx, sql); err != nil {
		if sqlState(err) == "42501" {
			return fatalf("create publication %q: %w; let a superuser run: %s", name, err, sql)
		}
		return fmt.Errorf("create publication %q: %w", name, err)
	}
	return nil
}
