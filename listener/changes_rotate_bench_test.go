package listener

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/walherald/walherald/config"
)

// Every change is of another table than the one before, in an order that no
// cache foresees: what the way to a table's plan costs. The changes lie in one
// buffer, as what is read from a socket does.
func BenchmarkChangesRotatingTables(b *testing.B) {
	for _, tables := range []int{1, 5000} {
		b.Run(fmt.Sprint(tables), func(b *testing.B) {
			c := newTestChanges(b, config.Listener{}, &windowSink{w: newWindow(4 << 20)})
			order := rand.New(rand.NewPCG(1, 2)).Perm(tables)
			for i := range order {
				order[i] = 16384 + 7*order[i] // tables share their numbers with indexes and types
				if err := c.handle(sixColumnTable(order[i], fmt.Sprintf("public.users_%d", i))); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.handle(beginMsg(0x16B3748)); err != nil {
				b.Fatal(err)
			}
			var values []any
			for _, col := range sixColumnRow {
				values = append(values, col.text)
			}
			m := insertMsg(0, values...)
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				binary.BigEndian.PutUint32(m[1:], uint32(order[n]))
				if err := c.handle(m); err != nil {
					b.Fatal(err)
				}
				if n++; n == tables {
					n = 0
				}
			}
		})
	}
}
