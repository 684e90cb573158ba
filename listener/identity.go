package listener

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/walherald/walherald/listener/pgoutput"
)

// identity is where changes come from.
type identity struct {
	system   string // the cluster's system identifier
	timeline int32
	database string
	slot     string
	// forks are the ends of the timelines before this one, in order.
	forks []fork
}

// fork is where a timeline was left for another.
type fork struct {
	timeline int32
	end      pgoutput.LSN
}

// same reports whether positions of both are of one log.
func (id identity) same(other identity) bool {
	return id.system == other.system && id.timeline == other.timeline && id.database == other.database && id.slot == other.slot
}

// source returns the function that gives the digest which is part of the id of
// every event whose commit is at an LSN. It holds the timeline on which the
// commit was written: a change that a promoted server has from the one before
// keeps its id, whoever reads it, and one that was written in the place of a
// lost one has another.
func (id identity) source() func(pgoutput.LSN) uint32 {
	now := id.digest(id.timeline)
	before := make([]uint32, len(id.forks))
	for i, f := range id.forks {
		before[i] = id.digest(f.timeline)
	}
	return func(lsn pgoutput.LSN) uint32 {
		for i, f := range id.forks {
			if lsn < f.end {
				return before[i]
			}
		}
		return now
	}
}

func (id identity) digest(timeline int32) uint32 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", id.system, id.database, timeline))
	return binary.BigEndian.Uint32(sum[:])
}

// writer returns the name within which ids are ordered. On another timeline an
// LSN can stand for another change, and another slot can select others, so a
// position of theirs says nothing.
func (id identity) writer() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%s/%s", id.system, id.timeline, id.database, id.slot))
	return hex.EncodeToString(sum[:8])
}

// readForks reads where the timelines before the server's own ended. A server
// that no longer has the file that says so is taken for one that was never
// promoted.
func (l *link) readForks(ctx context.Context) error {
	if l.id.timeline == 1 {
		return nil
	}
	history, err := pglogrepl.TimelineHistory(ctx, l.pg, l.id.timeline)
	if sqlState(err) == codeNoFile {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read history of timeline %d: %w", l.id.timeline, err)
	}
	l.id.forks, err = parseForks(string(history.Content))
	return err
}

// codeNoFile is the server's code for a file that is not there.
const codeNoFile = "58P01"

// parseForks reads a timeline history file: lines of a timeline, the position at
// which it was left, and why, separated by tabs (PostgreSQL documentation,
// "Timelines"). Others are comments.
func parseForks(content string) ([]fork, error) {
	var forks []fork
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		timeline, err := strconv.ParseInt(fields[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read timeline history: %w", err)
		}
		end, err := pgoutput.ParseLSN(fields[1])
		if err != nil {
			return nil, fmt.Errorf("read timeline history: %w", err)
		}
		forks = append(forks, fork{int32(timeline), end})
	}
	return forks, nil
}
