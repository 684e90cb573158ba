package listener

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// pgEncoded returns a new database of the shared server in another encoding. The
// test's own connection speaks UTF-8.
func pgEncoded(t *testing.T, encoding string) *pgSource {
	t.Helper()
	s := pgShared(t)
	name := s.db.Name + "_" + strings.ToLower(encoding)
	s.exec(fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'", name, encoding))
	t.Cleanup(func() {
		if err := s.server.DropDatabase(context.Background(), name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	s.db.Name = name
	s.conn = s.connect()
	s.exec("SET client_encoding = 'UTF8'")
	return s
}

// Failure 27 of docs/failures.md.
func TestTextAndNamesOfALatin1DatabaseArriveInUTF8(t *testing.T) {
	s := pgEncoded(t, "LATIN1")
	s.exec(`CREATE DOMAIN größe AS int`, `CREATE TABLE straße (nr größe PRIMARY KEY, "größe ""ÿ""" text, l text[], j jsonb)`,
		`ALTER TABLE straße REPLICA IDENTITY FULL`)
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec(`INSERT INTO straße VALUES (1, 'äöüß ÿ ½', '{é,"à b"}', '{"ñ": "\u00e9"}')`)
	m := sink.awaitAccepted(s.ctx, t, 1)[0]
	guaranteeSame(t, guaranteeLines(t, []guaranteeMessage{m}), []string{
		`INSERT public.straße map[größe "ÿ":äöüß ÿ ½ j:map[ñ:é] l:[é à b] nr:1] map[]`,
	})
	if m.Topic != "public_straße" || m.Key != "1" {
		t.Errorf("topic is %s, key is %s", m.Topic, m.Key)
	}
}
