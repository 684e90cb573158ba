package listener

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/walherald/walherald/listener/pgoutput"
)

var update = flag.Bool("update", false, "write the expectations in testdata anew")

func TestLaterSuccessNeverPassesEarlierFailure(t *testing.T) { playProgress(t, "later-success") }
func TestSlowestOutputHoldsThePosition(t *testing.T)         { playProgress(t, "slowest-output") }
func TestIdleLogIsReleased(t *testing.T)                     { playProgress(t, "idle-log") }
func TestFullyFilteredLogIsReleased(t *testing.T)            { playProgress(t, "filtered-log") }
func TestKeepaliveInsideTransactionNeverCounts(t *testing.T) { playProgress(t, "keepalive-inside") }
func TestKeepaliveWaitsForWhatIsQueued(t *testing.T)         { playProgress(t, "keepalive-waits") }
func TestNextCommitTakesNoPositionBack(t *testing.T)         { playProgress(t, "never-back") }
func TestReconnectTakesNothingBack(t *testing.T)             { playProgress(t, "reconnect") }
func TestRestartGoesOnFromItsStart(t *testing.T)             { playProgress(t, "restart") }
func TestConfirmationNeverPassesWhatIsQueued(t *testing.T)   { playProgress(t, "confirm-too-much") }

// playProgress runs testdata/progress/<name>.txt: one command a line, and
// beside each the position that may be flushed after it.
func playProgress(t *testing.T, name string) {
	file := "testdata/progress/" + name + ".txt"
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p *progress
	var got strings.Builder
	for line := range strings.Lines(string(script)) {
		command, _, _ := strings.Cut(strings.TrimSpace(line), "flush")
		if command == "" || strings.HasPrefix(line, "#") {
			got.WriteString(line)
			continue
		}
		if p, err = progressCommand(p, strings.Fields(command)); err != nil {
			t.Fatalf("%s: %q: %v", file, command, err)
		}
		fmt.Fprintf(&got, "%-22s flush %v\n", strings.TrimSpace(command), p.flush())
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got.String() != string(script) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got.String(), script)
	}
}

func progressCommand(p *progress, words []string) (*progress, error) {
	number, end := 0, pgoutput.LSN(0)
	var err error
	for _, arg := range words[1:] {
		if strings.Contains(arg, "/") {
			end, err = pgoutput.ParseLSN(arg)
		} else {
			number, err = strconv.Atoi(arg)
		}
		if err != nil {
			return nil, err
		}
	}
	switch words[0] {
	case "new": // OUTPUTS START
		return newProgress(number, end), nil
	case "begin":
		p.begin()
	case "commit": // END
		p.commit(end)
	case "confirm": // OUTPUT END
		p.confirm(number, end)
	case "serverend": // END
		p.serverEnd(end)
	case "abandon":
		p.abandon()
	default:
		return nil, fmt.Errorf("unknown command %s", words[0])
	}
	return p, nil
}

// A model of progress that remembers everything: the server's log as a line of
// commits, and what each output has confirmed of it.
type progressModel struct {
	p *progress

	log      pgoutput.LSN   // how far the server has written
	start    pgoutput.LSN   // confirmed from the beginning
	queued   []pgoutput.LSN // commits in order
	done     []int          // how many of them each output has confirmed
	told     pgoutput.LSN   // end of log, as told between transactions
	highest  pgoutput.LSN   // best answer so far
	inside   bool           // a transaction is open
	replayed int            // commits the server sends again after a reconnect
}

func (m *progressModel) advance(t *rapid.T) pgoutput.LSN {
	m.log += pgoutput.LSN(rapid.Uint32Range(1, 1000).Draw(t, "bytes"))
	return m.log
}

// Begin opens a transaction.
func (m *progressModel) Begin(t *rapid.T) {
	if m.inside {
		t.Skip("a transaction is open")
	}
	m.inside = true
	m.p.begin()
}

// Commit closes it; after a reconnect it can be one that came before.
func (m *progressModel) Commit(t *rapid.T) {
	if !m.inside {
		t.Skip("no transaction is open")
	}
	m.inside = false
	if m.replayed > 0 {
		m.p.commit(m.queued[len(m.queued)-m.replayed])
		m.replayed--
		return
	}
	m.queued = append(m.queued, m.advance(t))
	m.p.commit(m.log)
}

// Confirm lets one output confirm a longer prefix, or the same again.
func (m *progressModel) Confirm(t *rapid.T) {
	i := rapid.IntRange(0, len(m.done)-1).Draw(t, "output")
	n := rapid.IntRange(0, len(m.queued)).Draw(t, "commits")
	m.done[i] = max(m.done[i], n)
	m.p.confirm(i, m.end(n))
}

// Keepalive tells the end of the log, which other databases write too. Inside
// of a transaction it may lie past changes that are still to come.
func (m *progressModel) Keepalive(t *rapid.T) {
	end := m.advance(t)
	if m.inside {
		end += 1 << 40
	} else if m.replayed > 0 {
		end = m.queued[len(m.queued)-m.replayed] - 1 // the server is not as far again
	} else {
		m.told = end
	}
	m.p.serverEnd(end)
}

// Reconnect cuts the connection; the server may repeat the last commits.
func (m *progressModel) Reconnect(t *rapid.T) {
	m.inside = false
	m.replayed = rapid.IntRange(0, min(3, len(m.queued))).Draw(t, "replayed")
	m.p.abandon()
}

// end returns the end of the nth commit.
func (m *progressModel) end(n int) pgoutput.LSN {
	if n == 0 {
		return m.start
	}
	return m.queued[n-1]
}

// Check compares with the rule: the lowest prefix, and beyond it only the end
// of a log that holds nothing more of ours.
func (m *progressModel) Check(t *rapid.T) {
	lowest := slices.Min(m.done)
	rule := m.end(lowest)
	if lowest == len(m.queued) {
		rule = max(rule, m.told)
	}
	m.highest = max(m.highest, rule)

	got := m.p.flush()
	if lowest < len(m.queued) && got >= m.queued[lowest] {
		t.Fatalf("flush %v passes commit %v, which output %d has not confirmed", got, m.queued[lowest], slices.Index(m.done, lowest))
	}
	if got != m.highest {
		t.Fatalf("flush is %v, want %v", got, m.highest)
	}
	if settled := lowest == len(m.queued); m.p.settled() != settled {
		t.Fatalf("settled is %v, want %v", !settled, settled)
	}
}

func TestPositionIsTheLowestConfirmedPrefixAndNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outputs := rapid.IntRange(1, 3).Draw(t, "outputs")
		start := pgoutput.LSN(rapid.Uint32().Draw(t, "start"))
		m := &progressModel{
			p: newProgress(outputs, start), log: start, start: start, done: make([]int, outputs),
		}
		t.Repeat(rapid.StateMachineActions(m))
	})
}
