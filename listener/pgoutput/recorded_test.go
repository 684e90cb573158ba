package pgoutput

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expectations in testdata anew")

func TestRecordedSessionIsReadAsExpected(t *testing.T) {
	const file = "testdata/postgresql15.txt"
	recorded, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d Decoder
	var got strings.Builder
	kinds := map[byte]bool{}
	for line := range strings.Lines(string(recorded)) {
		if strings.HasPrefix(line, " ") {
			continue // an expectation
		}
		got.WriteString(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		src, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		m, err := d.Decode(src)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		kinds[src[0]] = true
		fmt.Fprintf(&got, "    %s\n", describe(m))
	}
	if len(kinds) != 10 {
		t.Errorf("the recording holds %d of 10 kinds of messages", len(kinds))
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got.String() != string(recorded) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), recorded)
	}
}

// describe writes a message in one line for people to read.
func describe(m Message) string {
	at := func(ts Timestamp) string { return ts.Time().Format(time.RFC3339Nano) }
	switch m := m.(type) {
	case *Begin:
		return fmt.Sprintf("begin final=%v time=%s xid=%d", m.FinalLSN, at(m.CommitTime), m.XID)
	case *Commit:
		return fmt.Sprintf("commit lsn=%v end=%v time=%s", m.CommitLSN, m.EndLSN, at(m.CommitTime))
	case *Origin:
		return fmt.Sprintf("origin lsn=%v name=%q", m.CommitLSN, m.Name)
	case *Relation:
		return fmt.Sprintf("relation id=%d %q.%q identity=%c %+v", m.ID, m.Namespace, m.Name, m.Identity, m.Columns)
	case *Type:
		return fmt.Sprintf("type id=%d %q.%q", m.ID, m.Namespace, m.Name)
	case *Insert:
		return fmt.Sprintf("insert relation=%d new=%s", m.RelationID, row(&m.New))
	case *Update:
		if m.Old == nil {
			return fmt.Sprintf("update relation=%d new=%s", m.RelationID, row(&m.New))
		}
		return fmt.Sprintf("update relation=%d old(%c)=%s new=%s", m.RelationID, m.OldKind, row(m.Old), row(&m.New))
	case *Delete:
		return fmt.Sprintf("delete relation=%d old(%c)=%s", m.RelationID, m.OldKind, row(&m.Old))
	case *Truncate:
		return fmt.Sprintf("truncate relations=%d cascade=%t restart=%t", m.RelationIDs, m.Cascade, m.RestartIdentity)
	case *LogicalMessage:
		return fmt.Sprintf("message transactional=%t lsn=%v prefix=%q content=%q", m.Transactional, m.LSN, m.Prefix, m.Content)
	}
	return fmt.Sprintf("unexpected %T", m)
}

func row(t *Tuple) string {
	var values []string
	for _, c := range t.Columns {
		switch c.Kind {
		case Null:
			values = append(values, "null")
		case Unchanged:
			values = append(values, "unchanged")
		default:
			values = append(values, fmt.Sprintf("%q", c.Data))
		}
	}
	return "(" + strings.Join(values, ", ") + ")"
}
