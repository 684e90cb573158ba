package verify

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// newParser reads expressions as a Prometheus does that is given no flags.
func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// checkExpr says what is wrong with an expression: that it cannot be read, or asks for
// metrics or labels that do not exist.
func checkExpr(text string, series map[string][]string) (problems []string) {
	expr, err := newParser().ParseExpr(text)
	if err != nil {
		return []string{err.Error()}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			problems = append(problems, checkSelector(n, series)...)
		case *parser.AggregateExpr:
			problems = append(problems, checkLabels(n.Grouping, n.Expr, series)...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				problems = append(problems, checkLabels(n.VectorMatching.MatchingLabels, n.LHS, series)...)
				problems = append(problems, checkLabels(n.VectorMatching.MatchingLabels, n.RHS, series)...)
			}
		}
		return nil
	})
	return problems
}

func checkSelector(s *parser.VectorSelector, series map[string][]string) (problems []string) {
	labels, exists := series[s.Name]
	if !exists {
		return []string{fmt.Sprintf("%q is no metric", s.Name)}
	}
	for _, m := range s.LabelMatchers {
		if m.Name != model.MetricNameLabel && !slices.Contains(labels, m.Name) {
			problems = append(problems, fmt.Sprintf("%s has no label %s", s.Name, m.Name))
		}
	}
	return problems
}

// checkLabels says which of the labels no series under an expression has.
func checkLabels(labels []string, under parser.Expr, series map[string][]string) (problems []string) {
	var there []string
	parser.Inspect(under, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			there = append(there, series[s.Name]...)
		}
		return nil
	})
	for _, label := range labels {
		if !slices.Contains(there, label) {
			problems = append(problems, fmt.Sprintf("nothing in %s has the label %s", under, label))
		}
	}
	return problems
}

func TestExpressionsThatAskForWhatIsNotThereAreFound(t *testing.T) {
	series := seriesOf(catalogue(t))
	const late, lateOfNoHistogram = `histogram_quantile(.9, sum by (le) (rate(walherald_deliver_seconds_bucket[5m])))`,
		`histogram_quantile(.9, sum by (le) (rate(walherald_output_held_up_seconds_total[5m])))`
	for text, ok := range map[string]bool{
		`walherald_lag_seconds > 60`:                   true,
		`walherald_lag_second > 60`:                    false,
		`walherald_output_ready{output="a"} == 0`:      true,
		`walherald_output_ready{destination="a"} == 0`: false,
		`sum by (output) (walherald_output_ready)`:     true,
		`sum by (rule) (walherald_output_ready)`:       false,
		`walherald_lag_bytes and on (job) up`:          true,
		`walherald_lag_bytes and on (app) up`:          false,
		`walherald_lag_bytes +`:                        false,
		`walherald_deliver_seconds`:                    false,
		late:                                           true,
		lateOfNoHistogram:                              false,
	} {
		if problems := checkExpr(text, series); (len(problems) == 0) != ok {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

// resultLabels returns the labels that the result of an expression can have.
func resultLabels(t *testing.T, text string, series map[string][]string) []string {
	t.Helper()
	expr, err := newParser().ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return labelsOf(expr, series)
}

func labelsOf(expr parser.Expr, series map[string][]string) []string {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return series[e.Name]
	case *parser.AggregateExpr:
		switch {
		case e.Op == parser.TOPK || e.Op == parser.BOTTOMK:
			return labelsOf(e.Expr, series)
		case e.Without:
			return slices.DeleteFunc(slices.Clone(labelsOf(e.Expr, series)), func(l string) bool { return slices.Contains(e.Grouping, l) })
		}
		return e.Grouping
	case *parser.BinaryExpr:
		if e.VectorMatching != nil && e.VectorMatching.Card == parser.CardOneToMany {
			return labelsOf(e.RHS, series)
		}
		if _, scalar := e.LHS.(*parser.NumberLiteral); scalar || labelsOf(e.LHS, series) == nil {
			return labelsOf(e.RHS, series)
		}
		return labelsOf(e.LHS, series)
	}
	var all []string
	for child := range parser.ChildrenIter(expr) {
		all = append(all, labelsOf(child.(parser.Expr), series)...)
	}
	return all
}
