package listener

import (
	"strings"

	"github.com/walherald/walherald/publisher/format"
)

// maxArrayDepth is how many dimensions an array of PostgreSQL can have (MAXDIM).
const maxArrayDepth = 6

// arrayAppender returns the function that appends an array as a JSON array,
// nested as the array has dimensions. Lower bounds are left out. Elements are
// written by element; between them stands delimiter. Text that is no array
// becomes a JSON string.
func arrayAppender(element func(dst, text []byte) []byte, delimiter byte) func(dst, text []byte) []byte {
	a := arrayType{element: element, delimiter: delimiter}
	return func(dst, text []byte) []byte {
		before := len(dst)
		dst, rest, ok := a.append(dst, withoutBounds(text), maxArrayDepth)
		if !ok || len(rest) > 0 {
			return format.AppendString(dst[:before], text)
		}
		return dst
	}
}

// withoutBounds cuts off the bounds of the dimensions, which the output of
// arrays whose indices do not begin at 1 starts with: [0:2][-1:1]={...}.
func withoutBounds(text []byte) []byte {
	if len(text) == 0 || text[0] != '[' {
		return text
	}
	n := 0
	for n < len(text) && (isDigit(text[n]) || strings.IndexByte("[]:-", text[n]) >= 0) {
		n++
	}
	if n == len(text) || text[n] != '=' {
		return text
	}
	return text[n+1:]
}

// arrayType reads the text form of arrays (PostgreSQL documentation, "Array
// Input and Output Syntax").
type arrayType struct {
	element   func(dst, text []byte) []byte
	delimiter byte
}

// append appends the array that text begins with, of at most depth dimensions,
// and returns what follows it. ok is false if there is none.
func (a *arrayType) append(dst, text []byte, depth int) (_, rest []byte, ok bool) {
	if len(text) < 2 || text[0] != '{' || depth == 0 {
		return dst, nil, false
	}
	dst = append(dst, '[')
	if text[1] == '}' {
		return append(dst, ']'), text[2:], true
	}
	for {
		dst, text, ok = a.appendItem(dst, text[1:], depth)
		if !ok || len(text) == 0 {
			return dst, nil, false
		}
		switch text[0] {
		case '}':
			return append(dst, ']'), text[1:], true
		case a.delimiter:
			dst = append(dst, ',')
		default:
			return dst, nil, false
		}
	}
}

// appendItem appends the array or element that text begins with.
func (a *arrayType) appendItem(dst, text []byte, depth int) (_, rest []byte, ok bool) {
	switch {
	case len(text) == 0:
		return dst, nil, false
	case text[0] == '{':
		return a.append(dst, text, depth-1)
	case text[0] == '"':
		return a.appendQuoted(dst, text[1:])
	}
	n := 0
	for n < len(text) && text[n] != a.delimiter && text[n] != '}' {
		if c := text[n]; c == '{' || c == '"' || c == '\\' {
			return dst, nil, false // PostgreSQL would have quoted the element
		}
		n++
	}
	switch string(text[:n]) {
	case "":
		return dst, nil, false
	case "NULL":
		return append(dst, "null"...), text[n:], true
	}
	return a.element(dst, text[:n]), text[n:], true
}

// appendQuoted appends the element that text begins with, after its opening
// quote.
func (a *arrayType) appendQuoted(dst, text []byte) (_, rest []byte, ok bool) {
	escaped := false
	for n := 0; n < len(text); n++ {
		switch text[n] {
		case '\\':
			escaped = true
			n++
		case '"':
			if escaped {
				return a.appendEscaped(dst, text[:n]), text[n+1:], true
			}
			return a.element(dst, text[:n]), text[n+1:], true
		}
	}
	return dst, nil, false
}

// appendEscaped appends an element in which backslashes escape the byte after
// them. The element's own text is first written behind dst, where it needs no
// memory of its own, and its JSON behind that and then moved down over it.
func (a *arrayType) appendEscaped(dst, escaped []byte) []byte {
	start := len(dst)
	for i := 0; i < len(escaped); i++ {
		if escaped[i] == '\\' {
			i++
		}
		dst = append(dst, escaped[i])
	}
	end := len(dst)
	dst = a.element(dst, dst[start:])
	return append(dst[:start], dst[end:]...)
}

// delimiter returns the byte between the elements of an array of the type
// (pg_type.typdelim).
func delimiter(oid uint32) byte {
	const oidBox = 603
	if oid == oidBox {
		return ';'
	}
	return ','
}

// arrayElements maps the OIDs of the built-in array types to those of their
// elements (pg_type.dat).
var arrayElements = map[uint32]uint32{
	143:  142,  // xml
	199:  114,  // json
	271:  5069, // xid8
	629:  628,  // line
	651:  650,  // cidr
	719:  718,  // circle
	775:  774,  // macaddr8
	791:  790,  // money
	1000: 16,   // bool
	1001: 17,   // bytea
	1002: 18,   // char
	1003: 19,   // name
	1005: 21,   // int2
	1006: 22,   // int2vector
	1007: 23,   // int4
	1008: 24,   // regproc
	1009: 25,   // text
	1010: 27,   // tid
	1011: 28,   // xid
	1012: 29,   // cid
	1013: 30,   // oidvector
	1014: 1042, // bpchar
	1015: 1043, // varchar
	1016: 20,   // int8
	1017: 600,  // point
	1018: 601,  // lseg
	1019: 602,  // path
	1020: 603,  // box
	1021: 700,  // float4
	1022: 701,  // float8
	1027: 604,  // polygon
	1028: 26,   // oid
	1034: 1033, // aclitem
	1040: 829,  // macaddr
	1041: 869,  // inet
	1115: 1114, // timestamp
	1182: 1082, // date
	1183: 1083, // time
	1185: 1184, // timestamptz
	1187: 1186, // interval
	1231: 1700, // numeric
	1263: 2275, // cstring
	1270: 1266, // timetz
	1561: 1560, // bit
	1563: 1562, // varbit
	2201: 1790, // refcursor
	2207: 2202, // regprocedure
	2208: 2203, // regoper
	2209: 2204, // regoperator
	2210: 2205, // regclass
	2211: 2206, // regtype
	2287: 2249, // record
	2949: 2970, // txid_snapshot
	2951: 2950, // uuid
	3221: 3220, // pg_lsn
	3643: 3614, // tsvector
	3644: 3642, // gtsvector
	3645: 3615, // tsquery
	3735: 3734, // regconfig
	3770: 3769, // regdictionary
	3807: 3802, // jsonb
	3905: 3904, // int4range
	3907: 3906, // numrange
	3909: 3908, // tsrange
	3911: 3910, // tstzrange
	3913: 3912, // daterange
	3927: 3926, // int8range
	4073: 4072, // jsonpath
	4090: 4089, // regnamespace
	4097: 4096, // regrole
	4192: 4191, // regcollation
	5039: 5038, // pg_snapshot
	6150: 4451, // int4multirange
	6151: 4532, // nummultirange
	6152: 4533, // tsmultirange
	6153: 4534, // tstzmultirange
	6155: 4535, // datemultirange
	6157: 4536, // int8multirange
}
