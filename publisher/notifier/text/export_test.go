package text

import (
	"maps"
	"slices"
	"strings"
)

// Helpers returns the names of the functions that templates can call.
func Helpers() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(functions(nil))) {
		if !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	return names
}
