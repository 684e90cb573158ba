package listener

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/walherald/walherald/internal/pgfake"
)

// A table with a type that is not built in takes a question on an ordinary
// connection. The server may have none left for a while, be another one, or not
// be able to answer.
func TestQuestionThatIsNotAnsweredIsAskedAgainAndCostsNothing(t *testing.T) {
	const userType = 16390
	typed := wire("R").i32(1).str("public").str("t").i8('d').i16(2).
		i8(1).str("id").i32(oidText).i32(-1).i8(0).str("note").i32(userType).i32(-1)
	frames := framed(0x100, beginMsg(0x100), typed, insertMsg(1, "1", "happy"), insertMsg(1, "2", "sad"), commitMsg(0x100))

	s := newFake(t, robustDB.Serve(pgfake.Send(frames...), pgfake.Hang()))
	other := robustDB
	other.System = "7999999999999999999"
	var connected, asked atomic.Int32
	answers := []pgfake.Reply{
		pgfake.Error("53200", "out of memory"), pgfake.Error("57014", "canceling statement due to statement timeout"),
		pgfake.Row("16390", "0", pgfake.Null, pgfake.Null),
	}
	types := func(sql string) (pgfake.Reply, bool) {
		if !strings.Contains(sql, "pg_catalog.pg_type") {
			return pgfake.Reply{}, false
		}
		return answers[min(int(asked.Add(1)), len(answers))-1], true
	}
	s.ordinary = func(c *pgfake.Conn) error {
		switch connected.Add(1) {
		case 1:
			return pgfake.Refuse("53300", "sorry, too many clients already")(c)
		case 2:
			return pgfake.Reset()(c)
		case 3:
			return pgfake.Play(other.Ordinary())(c)
		}
		return pgfake.Play(robustDB.Ordinary(types))(c)
	}
	sink := newGuaranteeSink()
	r := s.start(sink)
	wantKeys(s.ctx, t, sink, "1", "2")
	s.awaitTold(0x108)
	r.awaitReady()
	guaranteeWords(t, s.log.String(), "53300", other.System, "public.t", "53200", "57014")
}
