package listener

import (
	"encoding/base64"
	"encoding/hex"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/format"
)

// appender appends a value of one type, in the text form of the type's output
// function, to dst as one JSON value. It fits publisher.Column.AppendJSON: it
// never fails, because text that is not what the type promises becomes a JSON
// string, and it allocates nothing once dst has room.
type appender = func(dst, text []byte) []byte

// appenderFor returns the appender of a type. types says what types that are not
// built in are made of.
//
//	bool                           true or false
//	int2, int4, int8, oid, float4,
//	float8, numeric                the number digit by digit; NaN and ±Infinity as strings
//	numeric, values.numeric string the digits as a string
//	bytea                          \x and hexadecimal digits as a string
//	bytea, values.bytea base64     RFC 4648 section 4 as a string
//	json, jsonb                    the document as it is
//	timestamp, timestamptz         RFC 3339 as a string, see appendTimestamp
//	domains                        as the type below
//	arrays                         JSON arrays of the above
//	every other type               the text as a string
//
// The text is that of a session with DateStyle ISO, IntervalStyle postgres,
// bytea_output hex, extra_float_digits of at least 1 and, for timestamps to be
// in UTC, TimeZone UTC.
func appenderFor(oid uint32, values config.Values, types map[uint32]typeInfo) appender {
	return appenderWithin(maxNesting, oid, values, types)
}

// maxNesting bounds how many arrays can stand one in the other, as domains make
// possible: what is deeper stays text.
const maxNesting = 8

func appenderWithin(depth int, oid uint32, values config.Values, types map[uint32]typeInfo) appender {
	if info := types[oid]; info.base != 0 {
		oid = info.base
	} else if info.element != 0 && depth > 0 {
		return arrayAppender(appenderWithin(depth-1, info.element, values, types), info.delimiter)
	}
	if element, ok := arrayElements[oid]; ok {
		return arrayAppender(scalarAppender(element, values), delimiter(element))
	}
	return scalarAppender(oid, values)
}

// scalarAppender is appenderFor for built-in types that are no arrays.
func scalarAppender(oid uint32, values config.Values) appender {
	switch oid {
	case oidBool:
		return appendBool
	case oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8:
		return format.AppendNumber
	case oidNumeric:
		if values.Numeric != config.NumericString {
			return format.AppendNumber
		}
	case oidBytea:
		if values.Bytea == config.ByteaBase64 {
			return appendBase64
		}
	case oidJSON, oidJSONB:
		return format.AppendDocument
	case oidTimestamp:
		return appendTimestamp
	case oidTimestamptz:
		return appendTimestamptz
	}
	return format.AppendString
}

// appendBool appends true for t and false for f.
func appendBool(dst, text []byte) []byte {
	switch string(text) {
	case "t":
		return append(dst, "true"...)
	case "f":
		return append(dst, "false"...)
	}
	return format.AppendString(dst, text)
}

// appendBase64 appends a bytea in hex format as base64.
func appendBase64(dst, text []byte) []byte {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return format.AppendString(dst, text)
	}
	var piece [768]byte // whole groups of 3 bytes, so that only the last one is padded
	start, digits := len(dst), text[2:]
	dst = append(dst, '"')
	for len(digits) > 0 {
		n := min(len(digits), hex.EncodedLen(len(piece)))
		decoded, err := hex.Decode(piece[:], digits[:n])
		if err != nil {
			return format.AppendString(dst[:start], text)
		}
		dst = base64.StdEncoding.AppendEncode(dst, piece[:decoded])
		digits = digits[n:]
	}
	return append(dst, '"')
}
