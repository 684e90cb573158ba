package listener

import (
	"context"
	"errors"
	"time"

	"github.com/walherald/walherald/config"
)

// checkTimeout bounds a whole Check.
const checkTimeout = 2 * connectTimeout

// Check looks for what would keep a Listener of this configuration from
// streaming and returns what it found, good and bad, in the order in which a
// start would meet it. It changes nothing: its session is read-only, and what a
// start would create is only judged. It connects as the service does, which
// takes one walsender meanwhile, and ends within 30 seconds. Of the routes it
// looks at Section, Filter and KeyFrom, and hands over to Inspect where that is set.
// No finding holds the password.
func Check(ctx context.Context, cfg config.Listener, db config.Database, routes ...Route) []config.Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	p := &preflight{cfg: cfg, db: db, routes: routes}
	if !p.connect(ctx) {
		return p.Findings
	}
	defer p.link.close()
	err := p.look(ctx, p.readOnly, p.pooler, p.server, p.features, p.settings, p.replication, p.slotMemory, p.readNames,
		p.checkPublication, p.checkSlot, p.checkTables)
	if err != nil && !errors.Is(err, errTold) {
		p.Fail("database", "run the check again; if this comes back, the server's log says more", "check ended early: %s", cause(err))
	}
	return p.Findings
}

// errTold ends a Check whose last finding says why.
var errTold = errors.New("told")

// preflight is one Check, or the part of one that a start makes.
type preflight struct {
	config.Findings

	cfg    config.Listener
	db     config.Database
	routes []Route
	link   *link

	// plain says that the link is no replication connection, because that one
	// was refused.
	plain       bool
	standby     bool
	publication string
	published   bool // the publication exists
	info        PublicationInfo
	slot        slotState
}

// look looks at one thing after the other until an error.
func (p *preflight) look(ctx context.Context, looks ...func(context.Context) error) error {
	for _, look := range looks {
		if err := look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// row returns the first row of a query.
func (p *preflight) row(ctx context.Context, sql string) ([]string, error) {
	rows, err := p.link.query(ctx, sql)
	if err == nil && len(rows) == 0 {
		err = errors.New("something was dropped meanwhile")
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// readOnly keeps the session from changing anything.
func (p *preflight) readOnly(ctx context.Context) error {
	_, err := p.link.query(ctx, "SET default_transaction_read_only = on")
	return err
}

const (
	// adviceTimeout bounds what a start takes to look for what to warn of.
	adviceTimeout = 10 * time.Second
	// adviceStatement bounds one statement of it, in the server: the connection
	// is then still there to stream.
	adviceStatement = "3s"
)

// advise logs, before the first stream, what Check would warn of: one line
// each. It runs on the connection that is about to stream and keeps it from
// nothing: what cannot be found out in time is left out.
func (l *Listener) advise(ctx context.Context, lk *link) {
	ctx, cancel := context.WithTimeout(ctx, adviceTimeout)
	defer cancel()
	p := &preflight{cfg: l.cfg, db: l.db, routes: l.deps.routes(), link: lk}
	err := p.look(ctx, p.boundStatements, p.pooler, p.server, p.settings, p.readNames, p.checkPublication, p.checkTables, p.checkRetained)
	if _, resetErr := lk.query(ctx, "RESET statement_timeout"); err == nil {
		err = resetErr
	}
	if err != nil {
		l.log.Debug("did not look for all there is to warn of", "error", err)
	}
	for _, f := range p.Findings {
		if f.Severity == config.FindingWarning {
			l.log.Warn(f.What, "path", f.Path, "remedy", f.Remedy)
		}
	}
}

func (p *preflight) boundStatements(ctx context.Context) error {
	_, err := p.link.query(ctx, "SET statement_timeout = '"+adviceStatement+"'")
	return err
}
