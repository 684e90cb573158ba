package listener

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Failure 27 of docs/failures.md.
func TestBytesOfADatabaseWithoutEncodingArriveAsValidUTF8(t *testing.T) {
	s := pgEncoded(t, "SQL_ASCII")
	s.exec(`CREATE TYPE mood AS ENUM (E'sch\xf6n')`,
		`CREATE TABLE t (id int PRIMARY KEY, v text, l text[], j json, m mood[])`, `ALTER TABLE t REPLICA IDENTITY FULL`)
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec(`INSERT INTO t VALUES (1, E'gr\xf6\xdfe größe', ARRAY[E'\xff', 'ü', E'\x80"'], E'{"a": "\xe4"}', ARRAY[E'sch\xf6n'::mood])`,
		`INSERT INTO t VALUES (2, '东', NULL, '{"a": "ä"}', NULL)`)
	got := sink.awaitAccepted(s.ctx, t, 2)
	for _, m := range got {
		if !utf8.ValidString(m.Body) {
			t.Errorf("body is not UTF-8: %q", m.Body)
		}
	}
	guaranteeSame(t, guaranteeLines(t, got), []string{
		"INSERT public.t map[id:1 j:{\"a\": \"\ufffd\"} l:[\ufffd ü \ufffd\"] m:[sch\ufffdn] v:gr\ufffd\ufffde größe] map[]",
		"INSERT public.t map[id:2 j:map[a:ä] l:<nil> m:<nil> v:东] map[]",
	})
}

func TestCharacterWithoutUTF8EndsTheListenerAndSaysWhere(t *testing.T) {
	for encoding, character := range map[string]string{"WIN1252": `E'\x81'`, "EUC_JP": `E'\xf5\xa1'`} {
		t.Run(encoding, func(t *testing.T) {
			s := pgEncoded(t, encoding)
			s.exec("CREATE TABLE t (id int PRIMARY KEY, v text)")
			sink := newGuaranteeSink()
			r := s.stream(sink)
			s.exec("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, "+character+")", "INSERT INTO t VALUES (3, 'b')")
			err := r.wait()
			if err == nil || !isFatal(err) {
				t.Fatalf("Run returned %v", err)
			}
			for _, part := range []string{s.cfg.SlotName, encoding, "UTF8", "associated LSN", "walherald slot advance"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error does not say %s: %v", part, err)
				}
			}
			if got := sink.messages(); len(got) > 1 {
				t.Errorf("%d messages, of which one is before the character", len(got))
			}
		})
	}
}
