package main

import (
	"fmt"
	"slices"
	"strings"
)

// rulesCount is how many rules the lines with rules have.
const rulesCount = 100

// withRules are the lines that have rules none of which ever matches.
var withRules = []string{rulesDiscardName, rulesJetStreamName}

// extra is what the line's configuration says beside where events go.
func (l line) extra() string {
	if !slices.Contains(withRules, l.name) {
		return ""
	}
	return rulesSection()
}

// rulesSection is rules about the table that is read, of the kinds there are, and a
// destination that never hears of them.
func rulesSection() string {
	var b strings.Builder
	b.WriteString("notifier:\n  destinations: [{name: hook, type: webhook, url: 'http://127.0.0.1:9/', allowPrivate: true}]\n  rules:\n")
	for i := range rulesCount {
		fmt.Fprintf(&b, "    - {name: rule-%d, table: events, op_type: insert, %s, destination: hook}\n", i, neverTrue(i))
	}
	return b.String()
}

// neverTrue is a condition that no row meets.
func neverTrue(i int) string {
	switch i % 5 {
	case 0:
		return fmt.Sprintf("conditions: [{field: amount, gt: %d}]", 1_000_000+i)
	case 1:
		return fmt.Sprintf("conditions: [{field: name, in: [nobody, nobody %d, no user]}]", i)
	case 2:
		return fmt.Sprintf(`when: 'action == "INSERT" && new.name == "nobody %d" && new.ok'`, i)
	}
	return fmt.Sprintf("conditions: [{field: name, new_value: nobody %d}]", i)
}
