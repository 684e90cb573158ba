package notifier

import (
	"slices"
	"sync"
)

// ruleNames numbers the rules that a destination has and those it had before they were
// replaced: what they selected can still be on its way. It is safe for concurrent use.
type ruleNames struct {
	mu    sync.RWMutex
	names []string
}

// number returns the number of each of the rules, by their names.
func (r *ruleNames) number(rules []string) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	numbers := make([]int, len(rules))
	for i, name := range rules {
		at := slices.Index(r.names, name)
		if at < 0 {
			at = len(r.names)
			r.names = append(r.names, name)
		}
		numbers[i] = at
	}
	return numbers
}

// all returns the names by number. What is returned is not written to any more.
func (r *ruleNames) all() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.names[:len(r.names):len(r.names)]
}
