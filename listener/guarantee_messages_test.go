package listener

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
)

// guaranteeRouted shows what a message is and where it goes, in one line:
// "INSERT topic key=1 map[a:1] map[]".
func guaranteeRouted(t testing.TB, m guaranteeMessage) string {
	t.Helper()
	var e guaranteeEvent
	d := json.NewDecoder(strings.NewReader(m.Body))
	d.UseNumber()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("body of %s is no JSON: %v\n%s", m.ID, err, m.Body)
	}
	return fmt.Sprintf("%s %s key=%s %v %v", e.Action, m.Topic, m.Key, e.Data, e.DataOld)
}

func guaranteeRoutes(t testing.TB, messages []guaranteeMessage) []string {
	t.Helper()
	lines := make([]string, len(messages))
	for i, m := range messages {
		lines[i] = guaranteeRouted(t, m)
	}
	return lines
}

// guaranteeNoMessages wants a server without logical messages in pgoutput to be
// told from others; it reports whether this is one.
func guaranteeNoMessages(s *pgSource) bool {
	s.t.Helper()
	if s.server.Version() >= 14 {
		return false
	}
	err := s.start(newGuaranteeSink()).wait()
	if err == nil {
		s.t.Fatal("Run returned without an error")
	}
	guaranteeWords(s.t, err.Error(), "listener.messages", "needs PostgreSQL 14", fmt.Sprint(s.server.Version()))
	return true
}

// emitSQL is a call that writes a logical message.
func emitSQL(transactional bool, prefix, content string) string {
	return fmt.Sprintf("pg_logical_emit_message(%t, %s, %s)", transactional, quoteLiteral(prefix), quoteLiteral(content))
}

func TestLogicalMessagesArriveOnceAndInOrderOverReconnects(t *testing.T) {
	const transactions = 60
	s := pgShared(t)
	s.cfg.Messages = []string{"*"}
	if guaranteeNoMessages(s) {
		return
	}
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	writer := s.connect()
	proxy := s.proxied()
	sink := newGuaranteeSink()
	s.stream(sink)
	var want []string
	for i := range transactions {
		// The last record before that of the commit is the message outside of
		// transactions.
		sql := fmt.Sprintf("BEGIN; INSERT INTO t VALUES (%d); SELECT %s; SELECT %s; COMMIT",
			i, emitSQL(true, "in", fmt.Sprint(i)), emitSQL(false, "out", fmt.Sprint(i)))
		if _, err := writer.Exec(s.ctx, sql); err != nil {
			t.Fatal(err)
		}
		want = append(want,
			fmt.Sprintf("MESSAGE message_out key=out map[content:%d prefix:out transactional:false] map[]", i),
			fmt.Sprintf("INSERT public_t key=%d map[id:%d] map[]", i, i),
			fmt.Sprintf("MESSAGE message_in key=in map[content:%d prefix:in transactional:true] map[]", i))
		if i%20 == 19 {
			proxy.Cut()
		}
	}
	messages := sink.awaitAccepted(s.ctx, t, len(want))
	guaranteeSame(t, guaranteeRoutes(t, messages), want)
	guaranteeOrdered(t, messages)
	adjacent := 0
	for i := range messages[1:] {
		if messages[i+1].ID.LSN() == messages[i].ID.LSN()+1 {
			adjacent++ // the message's end is the commit record's beginning
		}
	}
	if adjacent == 0 {
		t.Error("no commit record begins where a message ends: the order of the two was not tried")
	}
}

// Each event is confirmed by itself here, so it is known what a restart may
// repeat: nothing.
func TestRestartRepeatsNoConfirmedMessageAndLosesNone(t *testing.T) {
	const before, during, after = 25, 10, 25
	s := pgShared(t)
	s.cfg.Messages = []string{"m"}
	if guaranteeNoMessages(s) {
		return
	}
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	var want []string
	write := func(n int) {
		for range n {
			i := len(want)
			if i%3 == 1 {
				s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", i))
				want = append(want, fmt.Sprintf("INSERT public_t key=%d map[id:%d] map[]", i, i))
				continue
			}
			s.exec("SELECT " + emitSQL(i%3 == 0, "m", fmt.Sprint(i)))
			want = append(want, fmt.Sprintf("MESSAGE message_m key=m map[content:%d prefix:m transactional:%t] map[]", i, i%3 == 0))
		}
	}
	first := newGuaranteeSink()
	r := s.stream(first)
	write(before)
	first.awaitAccepted(s.ctx, t, before/2)
	first.hold(0) // the rest is unconfirmed when it stops
	write(during)
	r.Listener.cfg.DrainTimeout = time.Millisecond
	r.stop()
	confirmed := first.messages()
	write(after)

	second := newGuaranteeSink()
	s.stream(second)
	rest := second.awaitAccepted(s.ctx, t, len(want)-len(confirmed))
	all := slices.Concat(confirmed, rest)
	guaranteeOrdered(t, all)
	guaranteeSame(t, guaranteeRoutes(t, all), want)
}

// Failure 24 of docs/failures.md.
func TestMessagesKeepTheirContentAndObeyTheirTransaction(t *testing.T) {
	s := pgShared(t)
	s.cfg.Messages = []string{"a", "b"}
	s.route.Topic, s.route.TopicPrefix = "stream", "p_"
	if guaranteeNoMessages(s) {
		return
	}
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("SELECT "+emitSQL(true, "a", `"quoted" €`),
		`SELECT pg_logical_emit_message(true, 'a', '\xff00'::bytea)`,
		"BEGIN; SELECT "+emitSQL(true, "a", "undone")+"; SELECT "+emitSQL(false, "b", "not undone")+"; ROLLBACK",
		"SELECT "+emitSQL(true, "c", "not wanted"),
		"SELECT "+emitSQL(false, "c", "not wanted"),
		"SELECT "+emitSQL(true, "b", ""))
	guaranteeSame(t, guaranteeRoutes(t, sink.awaitAccepted(s.ctx, t, 4)), []string{
		`MESSAGE stream.p_message_a key=a map[content:"quoted" € prefix:a transactional:true] map[]`,
		"MESSAGE stream.p_message_a key=a map[contentBase64:/wA= prefix:a transactional:true] map[]",
		"MESSAGE stream.p_message_b key=b map[content:not undone prefix:b transactional:false] map[]",
		"MESSAGE stream.p_message_b key=b map[content: prefix:b transactional:true] map[]",
	})
}

func TestMessagesThatNobodyWantsLetThePositionMoveOn(t *testing.T) {
	s := pgShared(t)
	s.cfg.Messages = []string{"wanted"}
	if guaranteeNoMessages(s) {
		return
	}
	sink := newGuaranteeSink()
	s.stream(sink)
	for _, transactional := range []bool{true, false} {
		// One that is large enough for the slot memory to be written.
		at := s.lsn(emitSQL(transactional, "unwanted", strings.Repeat("x", 2*idleStep)))
		s.awaitConfirmed(at)
	}
	if n := len(sink.messages()); n != 0 {
		t.Errorf("%d messages came", n)
	}
}

// A transaction that was cut in its middle may be read on with another
// configuration.
func TestIdsAreTheSameWithAndWithoutMessages(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sinks := map[string]*guaranteeSink{}
	slot := s.cfg.SlotName
	for _, name := range []string{"without", "with"} {
		s.cfg.SlotName = slot + "_" + name
		sinks[name] = newGuaranteeSink()
		s.stream(sinks[name])
		if s.server.Version() >= 14 {
			s.cfg.Messages = []string{"m"}
		}
	}
	sql, messages := "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", 0
	if s.server.Version() >= 14 {
		sql, messages = strings.Replace(sql, ";", "; SELECT "+emitSQL(true, "m", "x")+";", 1), 1
	}
	s.exec("BEGIN; " + sql + "; COMMIT")
	with := sinks["with"].awaitAccepted(s.ctx, t, 2+messages)
	without := sinks["without"].awaitAccepted(s.ctx, t, 2)
	if len(without) != 2 || without[0].ID != with[0].ID || without[1].ID != with[1+messages].ID {
		t.Errorf("ids without messages are %v, with them %v", without, with)
	}
}

// The position moves to the end of the message while the transaction that wrote
// it is open, past changes that are sent only once that one commits.
func TestMessageConfirmedInsideATransactionDoesNotPassItsChanges(t *testing.T) {
	s := pgShared(t)
	s.cfg.Messages = []string{"m"}
	if guaranteeNoMessages(s) {
		return
	}
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	first := newGuaranteeSink()
	r := s.stream(first)
	writer := s.connect()
	write := func(sql string) {
		t.Helper()
		if _, err := writer.Exec(s.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	write("BEGIN; INSERT INTO t VALUES (1); SELECT " + emitSQL(false, "m", "x"))
	s.exec("INSERT INTO t VALUES (2)") // a commit, which takes the message to disk too
	messages := first.awaitAccepted(s.ctx, t, 2)
	s.awaitConfirmed(pgoutput.LSN(messages[1].ID.LSN()) + 1)
	r.stop()
	write("INSERT INTO t VALUES (3); COMMIT")
	second := newGuaranteeSink()
	s.stream(second)
	messages = append(messages, second.awaitAccepted(s.ctx, t, 2)...)
	guaranteeOrdered(t, messages)
	guaranteeSame(t, guaranteeRoutes(t, messages), []string{
		"MESSAGE message_m key=m map[content:x prefix:m transactional:false] map[]",
		"INSERT public_t key=2 map[id:2] map[]",
		"INSERT public_t key=1 map[id:1] map[]",
		"INSERT public_t key=3 map[id:3] map[]",
	})
}
