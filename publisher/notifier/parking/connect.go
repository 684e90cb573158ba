package parking

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/walherald/walherald/config"
)

const (
	// connectTimeout bounds the making of a connection.
	connectTimeout = 15 * time.Second
	// maxConns is enough: an attempt at a destination holds no connection.
	maxConns = 4
	// maxIdle is how long a connection is kept that nobody uses.
	maxIdle = time.Minute
)

// keepAlive notices within half a minute that a server is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

// session are the settings of every connection. Those of the server, the database
// or the role must not weaken what Park promises, or put another table before ours.
var session = map[string]string{
	"application_name":              "walherald parking",
	"client_encoding":               "UTF8",
	"search_path":                   "",
	"synchronous_commit":            "on",
	"default_transaction_isolation": "read committed",
	"default_transaction_read_only": "off",
	"statement_timeout":             "0",
	"TimeZone":                      "UTC",
}

// poolConfig says how the database is reached. The keys sslmode and sslrootcert
// have their meaning in libpq, but for one: require verifies nothing even where
// there are authorities. Nothing comes from PG* variables of the environment.
func poolConfig(db config.Database) (*pgxpool.Config, error) {
	mode, roots := db.TLSMode(), db.SSL.CACert
	if db.SSL.SkipVerify && mode != config.SSLModeDisable {
		mode = config.SSLModeRequire
	}
	if mode == config.SSLModeRequire {
		roots = ""
	}
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(roots)
	cfg, err := pgxpool.ParseConfig("host=localhost target_session_attrs=any sslcert='' sslkey='' sslmode=" + mode + " sslrootcert='" + quoted + "'")
	if err != nil {
		return nil, fmt.Errorf("make connection settings from database.ssl: %w", err)
	}
	c := cfg.ConnConfig
	c.Host, c.Port, c.Database = db.Host, uint16(db.Port), db.Name
	c.User, c.Password, c.Fallbacks = db.User, db.Password.Reveal(), nil
	c.ConnectTimeout, c.RuntimeParams = connectTimeout, maps.Clone(session)
	c.DialFunc = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	if c.TLSConfig != nil {
		if c.TLSConfig.ServerName = db.Host; db.SSL.ServerName != "" {
			c.TLSConfig.ServerName = db.SSL.ServerName
		}
	}
	cfg.MaxConns, cfg.MinConns, cfg.MaxConnIdleTime = maxConns, 0, maxIdle
	return cfg, nil
}
