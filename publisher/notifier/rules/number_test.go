package rules

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNumbersAreOrderedAsPostgreSQLOrdersThem(t *testing.T) {
	long := strings.Repeat("9", 131072)
	var before number
	for i, group := range [][]string{
		{"-Infinity"},
		{"-" + long},
		{"-1e400"},
		{"-10.5", "-1.05e1"},
		{"-9"},
		{"-1e-400"},
		{"0", "-0", "0.000", "-0e5", "+0", "00"},
		{"1e-05", "0.00001", ".00001"},
		{"1", "1.", "001.00", "10e-1", "+1"},
		{"1.0000000000000000000000000000001"},
		{"9"},
		{"9.99"},
		{"10", "1E1", "1e+01"},
		{"9007199254740992"},
		{"9007199254740993"},
		{"1e308"},
		{"1e400", "1" + strings.Repeat("0", 400)},
		{"1.5e400"},
		{long},
		{long + ".5"},
		{"Infinity"},
		{"NaN"},
	} {
		for _, text := range group {
			n, ok := parseNumber([]byte(text))
			if !ok {
				t.Fatalf("%.40s is no number", text)
			}
			if i > 0 {
				if c := n.compare(&before); c != 1 {
					t.Errorf("%.40s compared with the one before is %d", text, c)
				}
				if c := before.compare(&n); c != -1 {
					t.Errorf("the one before compared with %.40s is %d", text, c)
				}
			}
			for _, other := range group {
				if o, _ := parseNumber([]byte(other)); n.compare(&o) != 0 {
					t.Errorf("%.40s is not equal to %.40s", text, other)
				}
			}
		}
		before, _ = parseNumber([]byte(group[0]))
	}
}

func TestWhatIsNoNumberIsNotTakenForOne(t *testing.T) {
	for _, text := range []string{
		"", "-", "+", ".", "e5", "1e", "1e+", "1e5.0", "1.2.3", "12a", "0x10", "2024-01-01", "12:30", "nan", "infinity",
		"+Infinity", "-NaN", " 1", "1 ", "1,5", "--1", "1e1234567890",
	} {
		if _, ok := parseNumber([]byte(text)); ok {
			t.Errorf("%q is taken for a number", text)
		}
	}
}

func TestComparisonOfNumbersIsExact(t *testing.T) {
	decimal := rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{1,30})?(e-?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := decimal.Draw(t, "a"), decimal.Draw(t, "b")
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		n, okN := parseNumber([]byte(a))
		m, okM := parseNumber([]byte(b))
		if !okN || !okM {
			t.Fatal("not read as numbers")
		}
		if got, want := n.compare(&m), x.Cmp(y); got != want {
			t.Fatalf("%s compared with %s is %d, want %d", a, b, got, want)
		}
	})
}
