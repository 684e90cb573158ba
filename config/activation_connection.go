package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// connectionKey is a keyword of a connection, the key of the section database
// for it, and what setu takes where it is not given.
type connectionKey struct{ keyword, key, missing string }

// connectionKeys are all that there is a key for.
var connectionKeys = []connectionKey{
	{"host", "host", "localhost"},
	{"port", "port", "5432"},
	{"dbname", "name", "postgres"},
	{"user", "user", "postgres"},
	{"password", "password", ""},
	{"sslmode", "sslMode", ""},
	{"sslrootcert", "ssl.caCert", ""},
}

// tuning are the keywords that change nothing about where to, as whom and how
// safely a connection is made.
var tuning = []string{
	"application_name", "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval",
	"keepalives_retries", "keepalives_count", "tcp_user_timeout",
}

// foreign are other keywords of libpq, which can be named without naming a piece
// of somebody's password.
var foreign = []string{
	"channel_binding", "client_encoding", "gssencmode", "hostaddr", "krbsrvname", "load_balance_hosts", "options", "passfile",
	"replication", "require_auth", "service", "sslcert", "sslcrl", "sslkey", "sslnegotiation", "sslpassword", "target_session_attrs",
}

// connection is what a connection text sets. Values hold placeholders, and are
// empty where the text does not set them.
type connection struct {
	values  map[string]string
	ignored []string
}

// parseConnection reads libpq's keywords and values, or its URL (PostgreSQL
// manual, "Connection Strings"). A placeholder is part of one value, whatever it
// stands for. Errors show keywords and no values.
func parseConnection(text string) (*connection, error) {
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		return nil, errors.New("holds a character that PostgreSQL cannot take")
	}
	m := mask(text)
	c := &connection{values: make(map[string]string)}
	set := func(keyword, value string) error { return c.set(keyword, m.unmask(value)) }
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(m.text, scheme); ok {
			return c, connectionURL(rest, set)
		}
	}
	return c, connectionKeywords(m.text, set)
}

// set takes over one value.
func (c *connection) set(keyword, value string) error {
	known := slices.ContainsFunc(connectionKeys, func(k connectionKey) bool { return k.keyword == keyword })
	_, again := c.values[keyword]
	_, secret := c.values["password"]
	switch {
	case slices.Contains(tuning, keyword):
		c.ignored = append(c.ignored, keyword)
		return nil
	case !known && secret && !slices.Contains(foreign, keyword):
		// It may be a piece of the password.
		return errors.New("has a word behind the password that is no keyword known here; remove it, or quote the password if it is part of that")
	case !known:
		return fmt.Errorf("the keyword %s means nothing here; %s", printable(keyword), orNearest(keyword))
	case again:
		return fmt.Errorf("the keyword %s is there twice", keyword)
	case keyword == "host" && strings.Contains(value, ","):
		return errors.New("names several hosts; write the one to read from")
	}
	c.values[keyword] = value
	return nil
}

// orNearest says what to do about an unknown keyword.
func orNearest(keyword string) string {
	var known []string
	for _, k := range connectionKeys {
		known = append(known, k.keyword)
	}
	if near := nearest(keyword, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "remove it"
}

// addTo adds the keys of the section database, on the line of at.
func (c *connection) addTo(section, at *yaml.Node) {
	comment := at.LineComment
	for _, k := range connectionKeys {
		value := cmp.Or(c.values[k.keyword], k.missing)
		switch {
		case value == "":
			continue
		case k.keyword == "sslmode" && (value == "prefer" || value == "allow"):
			// setu's connections are plain with these.
			value = SSLModeDisable
		}
		node := textNode(value, at)
		if _, err := strconv.ParseUint(value, 10, 16); err == nil && k.keyword == "port" {
			node.Tag = "!!int"
		}
		into, key := section, k.key
		if outer, inner, nested := strings.Cut(k.key, "."); nested {
			into, key = mappingNode(at, nil), inner
			add(section, outer, nil, into)
		}
		add(into, key, &yaml.Node{Line: at.Line, HeadComment: comment}, node)
		comment = ""
	}
}

// masked is a text whose placeholders are out of the way of its grammar: each is
// its number between two NUL.
type masked struct {
	text string
	kept []string
}

func mask(text string) *masked {
	m := &masked{}
	for text != "" {
		before, placeholder, after := cutPlaceholder(text)
		m.text += before
		if placeholder != "" {
			m.text += "\x00" + strconv.Itoa(len(m.kept)) + "\x00"
			m.kept = append(m.kept, placeholder)
		}
		text = after
	}
	return m
}

var mark = regexp.MustCompile("\x00[0-9]+\x00")

// unmask puts the placeholders back into a piece of the text.
func (m *masked) unmask(piece string) string {
	return mark.ReplaceAllStringFunc(escape(piece), func(found string) string {
		i, _ := strconv.Atoi(strings.Trim(found, "\x00"))
		return m.kept[i]
	})
}

// blanks part keywords (isspace of C).
const blanks = " \t\n\v\f\r"

// connectionKeywords reads keyword = value. A value with blanks stands between
// apostrophes; a backslash takes the character behind it as it is.
func connectionKeywords(text string, set func(keyword, value string) error) error {
	for text = strings.TrimLeft(text, blanks); text != ""; text = strings.TrimLeft(text, blanks) {
		keyword, rest, ok := strings.Cut(text, "=")
		keyword = strings.TrimRight(keyword, blanks)
		if !ok || keyword == "" || strings.ContainsAny(keyword, blanks+"\x00") {
			return errors.New("has a word that is no keyword=value; write password='...' if a value has blanks")
		}
		value, rest, ok := keywordValue(strings.TrimLeft(rest, blanks))
		if !ok {
			return fmt.Errorf("the value of %s has no apostrophe at its end", printable(keyword))
		}
		if err := set(keyword, value); err != nil {
			return err
		}
		text = rest
	}
	return nil
}

// keywordValue reads one value from the start of text; ok is false if it is
// never closed.
func keywordValue(text string) (value, rest string, ok bool) {
	text, quoted := strings.CutPrefix(text, "'")
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
		case c == '\'' && quoted:
			return out.String(), text[i+1:], true
		case !quoted && strings.IndexByte(blanks, c) >= 0:
			return out.String(), text[i:], true
		}
		out.WriteByte(text[i])
	}
	return out.String(), "", !quoted
}

// connectionURL reads user:password@host:port/dbname?keyword=value&..., each
// part percent-encoded.
func connectionURL(text string, set func(keyword, value string) error) error {
	text, query, _ := strings.Cut(text, "?")
	text, dbname, _ := strings.Cut(text, "/")
	at := strings.LastIndexByte(text, '@')
	user, password, _ := strings.Cut(text[:max(0, at)], ":")
	host, port := splitHost(text[at+1:])
	parts := [][2]string{{"user", user}, {"password", password}, {"host", host}, {"port", port}, {"dbname", dbname}}
	for pair := range strings.SplitSeq(query, "&") {
		keyword, value, _ := strings.Cut(pair, "=")
		parts = append(parts, [2]string{keyword, value})
	}
	for _, part := range parts {
		value, err := url.PathUnescape(part[1])
		switch {
		case err != nil:
			return errors.New("has a % without two hexadecimal digits; write it %25")
		case strings.Count(value, "\x00") != strings.Count(part[1], "\x00") || !utf8.ValidString(value):
			return errors.New("holds a character that PostgreSQL cannot take")
		case value == "":
			continue
		}
		if err := set(part[0], value); err != nil {
			return err
		}
	}
	return nil
}

// splitHost splits host:port; an IPv6 address stands in brackets.
func splitHost(text string) (host, port string) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, rest, _ := strings.Cut(inner, "]")
		return host, strings.TrimPrefix(rest, ":")
	}
	host, port, _ = strings.Cut(text, ":")
	return host, port
}
