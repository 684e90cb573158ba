package config

import "strings"

// nearest returns the known name that was probably meant, without regard to
// case, or "" if none is near enough to be worth a question.
func nearest(name string, known []string) string {
	best, least := "", 0
	name = strings.ToLower(name)
	for _, candidate := range known {
		k := strings.ToLower(candidate)
		d := distance(name, k)
		near := d <= (len(name)+1)/3 || len(name) > 2 && (strings.Contains(k, name) || strings.Contains(name, k))
		if near && (best == "" || d < least) {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbouring bytes that turn a into b (optimal string alignment).
func distance(a, b string) int {
	// Rows i-2, i-1 and i of the usual table.
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
