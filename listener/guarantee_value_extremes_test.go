package listener

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
)

// Failure 27 of docs/failures.md.
func TestNumbersOfEveryLengthArriveDigitByDigit(t *testing.T) {
	r := startValueRun(t, config.Default().Listener.Values)
	r.exec("CREATE TABLE t (id int PRIMARY KEY, n numeric, j json, b jsonb, a numeric[])")
	const whole, fraction = 131072, 16383 // the most digits before and after the point
	number := strings.Repeat("123456789", whole/9+1)[:whole] + "." + strings.Repeat("9", fraction)
	for name, tt := range map[string]struct{ in, want string }{
		"numeric":            {number, number},
		"1e400":              {"1e400", "1" + strings.Repeat("0", 400)},
		"2^63":               {"9223372036854775808", "9223372036854775808"},
		"more than 2^64":     {"-18446744073709551617.10", "-18446744073709551617.10"},
		"smallest in a json": {"1e-400", "0." + strings.Repeat("0", 399) + "1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r.in(t)
			row := r.rows(1, "INSERT INTO t SELECT count(*), $1::text::numeric, $1::text::json, $1::text::jsonb, ARRAY[$1::text::numeric, NULL] FROM t", tt.in)[0]
			for column, want := range map[string]string{"n": tt.want, "j": tt.in, "b": tt.want, "a": "[" + tt.want + ",null]"} {
				if got := string(row[column]); got != want {
					t.Errorf("%s arrives with %d bytes, want %d: %.40s, want %.40s", column, len(got), len(want), got, want)
				}
			}
		})
	}
}

func TestNumericAndByteaAreWrittenAsConfigured(t *testing.T) {
	r := startValueRun(t, config.Values{Numeric: config.NumericString, Bytea: config.ByteaBase64})
	r.exec("CREATE DOMAIN price AS numeric(20,4)", "CREATE DOMAIN prices AS price[]", "CREATE DOMAIN secret AS bytea",
		"CREATE TABLE t (id int PRIMARY KEY, n numeric, na numeric[], d price, da prices, f float8, b bytea, ba bytea[], s secret, sa secret[])")
	data := make([]byte, 1000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for n := range 8 { // every padding
		r.seen = n
		piece := data[:n*n*20+n]
		encoded, digits := `"`+base64.StdEncoding.EncodeToString(piece)+`"`, `'\x`+hex.EncodeToString(piece)+`'`
		row := r.rows(1, fmt.Sprintf(`INSERT INTO t VALUES (%d, 12345678901234567890.10, '{1.50,NULL,NaN}', 7, '{1,2.5}', 1.5,
			%[2]s, ARRAY[%[2]s::bytea, NULL, '\x'], %[2]s, ARRAY[%[2]s::bytea])`, n, digits))[0]
		for column, want := range map[string]string{
			"n": `"12345678901234567890.10"`, "na": `["1.50",null,"NaN"]`, "d": `"7.0000"`, "da": `["1.0000","2.5000"]`, "f": `1.5`,
			"b": encoded, "ba": "[" + encoded + `,null,""]`, "s": encoded, "sa": "[" + encoded + "]",
		} {
			r.is(column, row[column], want)
		}
	}
}
