package config

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// minWindow holds at least a few changes of common size.
const minWindow ByteSize = 64 << 10

// Validate reports everything that is wrong with the configuration at once, as
// [Problems], each with the path of its key and what to do about it. It looks
// at the configuration alone: no file is opened, no host is asked.
func (c *Config) Validate() error { return c.check().err() }

func (c *Config) check() Problems {
	var ck checker
	ck.listener(&c.Listener)
	ck.tables("listener.filter.tables", c.Listener.Filter.Tables)
	ck.tables("listener.include.tables", c.Listener.Include.Tables)
	ck.exclude("listener.exclude", &c.Listener.Exclude)
	ck.topicsMap("listener.topicsMap", c.Listener.TopicsMap)
	ck.publication("listener.publication", &c.Listener.Publication)
	ck.routing(&c.Listener)
	ck.values(&c.Listener)
	ck.masks(&c.Listener)
	ck.database(&c.Database)
	ck.publishers(c)
	ck.notifier(c)
	ck.oneOf("logger.level", c.Logger.Level, "debug", "info", "warn", "error")
	ck.oneOf("logger.fmt", c.Logger.Fmt, "json", "text")
	ck.monitoring(&c.Monitoring)
	return ck.problems
}

// checker gathers what is wrong.
type checker struct{ problems Problems }

// when notes a problem if bad holds.
func (ck *checker) when(bad bool, path, format string, args ...any) {
	if bad {
		ck.problems = append(ck.problems, &Problem{Path: path, Text: fmt.Sprintf(format, args...)})
	}
}

func (ck *checker) required(path, value string) {
	ck.when(value == "", path, "is required%s", orVariable(path))
}

// orVariable says how a key can be set; items of a list have no variables.
func orVariable(path string) string {
	if strings.Contains(path, "[") {
		return ""
	}
	return "; set it in the file or as " + envName(path)
}

func (ck *checker) oneOf(path, value string, known ...string) {
	if slices.Contains(known, value) {
		return
	}
	text := "is none of " + strings.Join(known, ", ")
	if near := nearest(value, known); near != "" {
		text += "; did you mean " + strconv.Quote(near) + "?"
	}
	ck.when(true, path, "%s", text)
}

func (ck *checker) port(path string, port, least int) {
	ck.when(port < least || port > 65535, path, "must be a port from %d to 65535", least)
}

func (ck *checker) hostPort(path, address string) {
	_, port, err := net.SplitHostPort(address)
	n, bad := strconv.ParseUint(port, 10, 16)
	ck.when(err != nil || bad != nil || n > 65535, path, `must be host:port with a port from 0 to 65535, such as "127.0.0.1:4222"`)
}

func (ck *checker) positive(path string, d time.Duration) {
	ck.when(d <= 0, path, `must be longer than 0, such as "10s"`)
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

func (ck *checker) listener(l *Listener) {
	if l.SlotName == "" {
		ck.required("listener.slotName", l.SlotName)
	} else {
		ck.when(!slotName.MatchString(l.SlotName), "listener.slotName",
			"must be 1 to 63 of a-z, 0-9 and _, which is what PostgreSQL takes as a slot's name")
	}
	ck.port("listener.serverPort", l.ServerPort, 0)
	ck.when(l.RefreshConnection < 0, "listener.refreshConnection", "must not be negative; it has no effect and can be removed")
	ck.positive("listener.heartbeatInterval", l.HeartbeatInterval)
	ck.positive("listener.ackTimeout", l.AckTimeout)
	ck.positive("listener.drainTimeout", l.DrainTimeout)
	ck.when(l.Window < minWindow, "listener.window", "must be at least %s", minWindow)
	ck.when(l.MaxTransactionSize < 0, "listener.maxTransactionSize", "must not be negative; 0 means no limit")
}

var actions = []string{"insert", "update", "delete", "truncate"}

func (ck *checker) tables(path string, tables map[string][]string) {
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		at := entry(path, table)
		ck.when(table == "", at, "has no table name")
		ck.when(len(tables[table]) == 0, at, "lists no action; list some of %s", strings.Join(actions, ", "))
		for i, action := range tables[table] {
			ck.oneOf(entry(at, strconv.Itoa(i)), strings.ToLower(action), actions...)
		}
	}
}

func (ck *checker) exclude(path string, e *Exclude) {
	for _, list := range []struct {
		name  string
		items []string
	}{{"schemas", e.Schemas}, {"tables", e.Tables}, {"columns", e.Columns}} {
		for i, item := range list.items {
			ck.when(item == "", entry(join(path, list.name), strconv.Itoa(i)), "is empty; remove it")
		}
	}
}

func (ck *checker) publication(path string, p *Publication) {
	ck.when(len(p.Name) > 63, join(path, "name"), "must have 63 bytes at most: PostgreSQL cuts longer names")
	ck.when(strings.ContainsFunc(p.Name, unicode.IsControl), join(path, "name"), "must not hold control characters")
	for i, table := range p.Tables {
		schema, name, qualified := strings.Cut(table, ".")
		ck.when(schema == "" || qualified && name == "" || strings.ContainsFunc(table, unicode.IsControl),
			entry(join(path, "tables"), strconv.Itoa(i)), `must be "table" or "schema.table"`)
	}
}

// groups finds the references to groups in a replacement, ${1}, $1 or ${name}.
var groups = regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+))`)

func (ck *checker) topicsMap(path string, rules TopicsMap) {
	for _, rule := range rules {
		at := entry(path, rule.Match)
		ck.when(rule.Match == "", at, "has no table; write schema_table or /regexp/")
		ck.when(rule.Topic == "", at, "has no topic")
		expr, ok := rule.Expression()
		if !ok {
			ck.when(strings.HasPrefix(rule.Match, "/"), at, "begins with / like a regular expression but does not end with one")
			continue
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			ck.when(true, at, "is no regular expression: %v", err)
			continue
		}
		for _, m := range groups.FindAllStringSubmatch(rule.Topic, -1) {
			ck.when(!hasGroup(re, m[1]+m[2]), at,
				"the topic refers to a group that the expression does not have; write ${1} for the first")
		}
	}
}

func hasGroup(re *regexp.Regexp, group string) bool {
	if n, err := strconv.Atoi(group); err == nil {
		return n <= re.NumSubexp()
	}
	return re.SubexpIndex(group) >= 0
}

func (ck *checker) database(db *Database) {
	ck.required("database.host", db.Host)
	ck.when(strings.Contains(db.Host, "://"), "database.host", "must be a host, not a URL; database.port, name, user and password are keys of their own")
	ck.port("database.port", db.Port, 1)
	ck.required("database.name", db.Name)
	ck.required("database.user", db.User)
	switch db.SSLMode {
	case "":
		ck.when(db.SSL.SkipVerify && db.SSL.CACert != "", "database.ssl.caCert",
			"has no effect with skipVerify; remove one of them")
	case SSLModeRequire:
		ck.when(db.SSL.CACert != "", "database.ssl.caCert",
			"has no effect with sslMode require, which verifies nothing; use verify-ca or verify-full")
	case SSLModeDisable:
		ck.when(db.EnableTLS || db.SSL != SSL{}, "database.sslMode", "is disable, but enableTLS or ssl asks for TLS; remove one of them")
	case SSLModeVerifyCA, SSLModeVerifyFull:
		ck.when(db.SSL.SkipVerify, "database.ssl.skipVerify", "contradicts sslMode, which asks to verify; remove one of them")
	default:
		ck.oneOf("database.sslMode", db.SSLMode, SSLModeDisable, SSLModeRequire, SSLModeVerifyCA, SSLModeVerifyFull)
	}
}
