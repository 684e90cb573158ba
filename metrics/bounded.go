package metrics

import "sync"

const (
	// DefaultMaxSeries is how many tables, and pairs of subject and table, have
	// series of their own unless [Metrics.MaxSeries] says otherwise.
	DefaultMaxSeries = 1000
	// OtherSeries is the label of what has no series of its own. Every series costs
	// whoever scrapes them, for ever: a database that makes a table a day, or a subject
	// a tenant, must not make them without bound.
	OtherSeries = "_other"
)

// MaxSeries sets how many tables, and pairs of subject and table, have series of
// their own, at least 1. Those that have one keep it.
func (m *Metrics) MaxSeries(n int) {
	if m != nil {
		m.subjects.limit(n)
		m.tables.limit(n)
	}
}

// bounded remembers the pairs of labels that have a series, up to a number of them.
type bounded struct {
	mu    sync.Mutex
	most  int
	known map[[2]string]struct{}
}

func newBounded(most int) *bounded {
	return &bounded{most: most, known: make(map[[2]string]struct{})}
}

func (b *bounded) limit(most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = max(most, 1)
}

// admits reports whether the pair has a series of its own, and takes it in if there
// still is room.
func (b *bounded) admits(first, second string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pair := [2]string{first, second}
	if _, ok := b.known[pair]; ok {
		return true
	}
	if len(b.known) >= b.most {
		return false
	}
	b.known[pair] = struct{}{}
	return true
}
