package listener

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/walherald/walherald/internal/pgfake"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
)

// Failure 28 of docs/failures.md.
func TestHostileMessagesEndTheListenerAndConfirmNothing(t *testing.T) {
	// frame is sent in an open transaction.
	for name, tt := range map[string]struct {
		frame []byte
		words []string
	}{
		"negative length":                            {framed(0x200, wire("I").i32(1).i8('N').i16(2).i8('t').i32(-1))[0], []string{"at 0/200", "Insert", "ends early"}},
		"length beyond the message":                  {framed(0x200, wire("I").i32(1).i8('N').i16(2).i8('t').i32(1<<31-1))[0], []string{"at 0/200", "Insert", "ends early"}},
		"negative count of columns":                  {framed(0x200, wire("I").i32(1).i8('N').i16(-1))[0], []string{"at 0/200", "Insert"}},
		"more columns than bytes":                    {framed(0x200, wire("I").i32(1).i8('N').i16(1<<15-1))[0], []string{"at 0/200", "Insert"}},
		"row cut off":                                {framed(0x200, insertMsg(1, "3", "SECRET")[:22])[0], []string{"at 0/200", "Insert", "ends early"}},
		"bytes after the row":                        {framed(0x200, append(slices.Clone(insertMsg(1, "3", "SECRET")), "SECRET"...))[0], []string{"at 0/200", "Insert"}},
		"value of an unknown kind":                   {framed(0x200, wire("I").i32(1).i8('N').i16(2).i8('?').i8('?'))[0], []string{"at 0/200", "Insert"}},
		"value in binary form":                       {framed(0x200, insertMsg(1, "3", inBytes))[0], []string{"at 0/200", "public.t", "column note", "binary"}},
		"too few columns":                            {framed(0x200, insertMsg(1, "SECRET"))[0], []string{"at 0/200", "public.t", "1 columns", "has 2"}},
		"too many columns":                           {framed(0x200, insertMsg(1, "3", "SECRET", "SECRET"))[0], []string{"at 0/200", "public.t", "3 columns", "has 2"}},
		"table that was not described":               {framed(0x200, insertMsg(7, "3", "SECRET"))[0], []string{"at 0/200", "relation 7", "never described"}},
		"truncate of a table that was not described": {framed(0x200, truncateMsg(7))[0], []string{"at 0/200", "relation 7", "never described"}},
		"truncate of more tables than bytes":         {framed(0x200, wire("T").i32(1<<31-1).i8(0))[0], []string{"at 0/200", "Truncate"}},
		"table name without an end":                  {framed(0x200, append(wire("R").i32(1), "public"...))[0], []string{"at 0/200", "Relation"}},
		"unknown message":                            {framed(0x200, wire("!SECRET"))[0], []string{"at 0/200", "message"}},
		"empty message":                              {framed(0x200, nil)[0], []string{"at 0/200", "message"}},
		"XLogData of three bytes":                    {[]byte{pgoutput.TagXLogData, 0, 0}, []string{"XLogData", "ends early"}},
		"keepalive of three bytes":                   {[]byte{pgoutput.TagKeepalive, 0, 0}, []string{"keepalive", "ends early"}},
		"frame of no kind":                           {[]byte("?SECRET"), []string{"XLogData"}},
		"empty frame":                                {nil, []string{"XLogData"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFake(t, robustDB.Serve(
				pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108),
				pgfake.Send(opened(0x200, "2")...), pgfake.Send(tt.frame, framed(0x200, commitMsg(0x200))[0]), pgfake.Hang(),
			))
			sink := newGuaranteeSink()
			err := s.start(sink).wait()
			if err == nil {
				t.Fatal("Run returned without an error")
			}
			if !isFatal(err) {
				t.Errorf("%v is not fatal", err)
			}
			guaranteeWords(t, err.Error(), tt.words...)
			if text := err.Error() + s.log.String(); strings.Contains(text, "SECRET") {
				t.Errorf("what a row holds is told: %s", text)
			}
			want := "problematic_events_total{app=\"test\",kind=\"parse\"} 1\n"
			if got := scraped(t, s.numbers); !strings.Contains(got, want) {
				t.Errorf("metrics do not count it:\n%s", got)
			}
			s.wantTold(0x10, 0x108)
			// What had been read in good order is delivered before the end.
			wantKeys(s.ctx, t, sink, "1", "2")
		})
	}
}

// scraped is what a scrape would get.
func scraped(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	answer := httptest.NewRecorder()
	metrics.MetricsHandler(g).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}

// What is broken below the replication protocol can be the line's fault: the
// server gets another chance.
//
// Failure 28 of docs/failures.md.
func TestBrokenFramingIsAnsweredWithANewConnection(t *testing.T) {
	for name, broken := range map[string]pgfake.Step{
		"negative length":         pgfake.SendRaw([]byte{'d', 0xff, 0xff, 0xff, 0xff}),
		"length below its own":    pgfake.SendRaw([]byte{'d', 0, 0, 0, 3}),
		"message of no kind":      pgfake.SendRaw([]byte{'!', 0, 0, 0, 4}),
		"text of another server":  pgfake.SendRaw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat(" ", 4096))),
		"error that is none":      pgfake.SendRaw([]byte{'E', 0, 0, 0, 6, 'M', 'x'}),
		"end of the copy":         pgfake.Say(&pgproto3.CopyDone{}),
		"announced, never sent":   pgfake.SendRaw([]byte{'d', 0x7f, 0xff, 0xff, 0xff, pgoutput.TagXLogData}),
		"zeroes without an end":   pgfake.SendRaw(bytes.Repeat([]byte{0}, 1<<16)),
		"no byte, then the end":   pgfake.Say(),
		"query that was answered": pgfake.Say(&pgproto3.CommandComplete{CommandTag: []byte("COPY 0")}, &pgproto3.ReadyForQuery{TxStatus: 'I'}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newFake(t,
				robustDB.Serve(pgfake.Send(opened(0x100, "1")...), broken),
				robustDB.Serve(pgfake.Send(whole(0x100, "1", "2")...), pgfake.AwaitFlush(0x108), pgfake.Hang()),
			)
			sink := newGuaranteeSink()
			r := s.start(sink)
			wantKeys(s.ctx, t, sink, "1", "2")
			s.awaitTold(0x108)
			r.stop()
			s.wantTold(0x10, 0x108)
		})
	}
}

// Clocks jump, the server's like any other. What it says of the time is shown,
// and nothing is decided by it.
func TestTimesOfTheServerDecideNothing(t *testing.T) {
	var steps []pgfake.Step
	var keys []string
	for i, at := range []uint64{commitTime, commitTime + 1<<50, 0, 1 << 63, 1<<63 - 1, commitTime} {
		final, key := uint64(0x1000*(i+1)), string(rune('a'+i))
		keys = append(keys, key)
		frames := framed(final, wire("B").i64(final).i64(at).i32(1), robustTable, insertMsg(1, key, "x"), wire("C").i8(0).i64(final).i64(final+8).i64(at))
		for _, f := range append(frames, pgfake.Keepalive(pgoutput.LSN(final), true)) {
			// The server's clock, after type and position, or two of them.
			if f[0] == pgoutput.TagKeepalive {
				binary.BigEndian.PutUint64(f[9:], at)
			} else {
				binary.BigEndian.PutUint64(f[17:], at)
			}
			steps = append(steps, pgfake.Send(f))
		}
		steps = append(steps, pgfake.AwaitFlush(pgoutput.LSN(final+8)))
	}
	s := newFake(t, robustDB.Serve(steps...))
	sink := newGuaranteeSink()
	r := s.start(sink)
	wantKeys(s.ctx, t, sink, keys...)
	s.fake.AwaitPlayed(1)
	r.stop()
	if told := s.fake.Flushed(); !slices.IsSorted(told) {
		t.Errorf("flushed positions told are %v", told)
	}
}
