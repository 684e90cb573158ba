package listener

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
)

func TestMaskedValuesNeverReachADestination(t *testing.T) {
	const email, salary, born, note = "ada@example.org", "123456.78", "1815-12-10", "a large secret "
	s := pgShared(t)
	s.cfg.MaskKey = config.Secret(maskTestKey)
	s.cfg.Mask = config.Masks{
		mask("PEOPLE", "Email", "hash"), mask("public.people", "salary", "redact"),
		mask("*", "born", "null"), mask("*", "note", "hash"), mask("audit.people", "id", "redact"),
	}
	s.exec("CREATE TABLE people (email text PRIMARY KEY, id int, salary numeric, born date, note text)",
		"ALTER TABLE people ALTER note SET STORAGE EXTERNAL")
	values := fmt.Sprintf("(%s, 1, %s, %s, repeat(%s, 500))", quoteLiteral(email), salary, quoteLiteral(born), quoteLiteral(note))
	large := strings.Repeat(note, 500)
	row := fmt.Sprintf("map[born:<nil> email:%s id:1 note:%s salary:***]", hashed(email), hashed(large))
	without := fmt.Sprintf("map[born:<nil> email:%s id:2 salary:***]", hashed(email))
	filled := strings.Replace(row, "id:1", "id:3", 1)
	last := strings.Replace(row, "id:1", "id:2", 1)
	topic, key := " public_people ", "key="+hashed(email)+" "
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("INSERT INTO people VALUES "+values,
		"UPDATE people SET id = 2",                 // the large value is not in the log
		"ALTER TABLE people REPLICA IDENTITY FULL", // from here on it is, in the old row
		"UPDATE people SET id = 3",
		"DELETE FROM people",
		"INSERT INTO people VALUES ('b@example.org', NULL, NULL, NULL, NULL)")
	messages := sink.awaitAccepted(s.ctx, t, 5)
	guaranteeSame(t, guaranteeRoutes(t, messages), []string{
		"INSERT" + topic + key + row + " map[]",
		"UPDATE" + topic + key + without + " map[]",
		"UPDATE" + topic + key + filled + " " + last,
		"DELETE" + topic + key + "map[] " + filled,
		"INSERT" + topic + "key=" + hashed("b@example.org") + fmt.Sprintf(" map[born:<nil> email:%s id:<nil> note:<nil> salary:<nil>] map[]", hashed("b@example.org")),
	})
	for _, m := range messages {
		for _, leak := range []string{"example.org", "123456", "1815", strings.TrimSpace(note)} {
			if strings.Contains(m.Body, leak) || strings.Contains(m.Key, leak) {
				t.Errorf("%s holds %q: key %s, body %.300s", m.ID, leak, m.Key, m.Body)
			}
		}
	}
	if want := `"unchangedToastedValues":["note"]`; !strings.Contains(messages[1].Body, want) {
		t.Errorf("%s lacks %s", messages[1].Body, want)
	}
}

func TestTableWhoseKeyIsHiddenHasNone(t *testing.T) {
	s := pgShared(t)
	s.cfg.Mask = config.Masks{mask("a", "id", "redact"), mask("b", "id", "null")}
	s.cfg.Exclude.Columns = []string{"c.id"}
	s.exec("CREATE TABLE a (id int PRIMARY KEY, n int)", "CREATE TABLE b (id int PRIMARY KEY, n int)", "CREATE TABLE c (id int PRIMARY KEY, n int)")
	guaranteeRoutedSteps(t, s, []pgStep{
		step("INSERT INTO a VALUES (7, 1)", "INSERT public_a key= map[id:*** n:1] map[]"),
		step("INSERT INTO b VALUES (7, 1)", "INSERT public_b key= map[id:<nil> n:1] map[]"),
		step("INSERT INTO c VALUES (7, 1)", "INSERT public_c key= map[n:1] map[]"),
		step("UPDATE a SET id = 8", "UPDATE public_a key= map[id:*** n:1] map[id:***]"),
		step("DELETE FROM b", "DELETE public_b key= map[] map[id:<nil>]"),
	})
}
