package listener

import (
	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher/format"
)

// The OIDs of the built-in types whose values are not simply strings, from
// PostgreSQL's catalog (pg_type.dat); they never change.
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidOID         = 26
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidNumeric     = 1700
	oidJSONB       = 3802
)

// appenderFor returns the function that appends a value of the type, in the
// text form of its output function, to dst as one JSON value. It fits
// publisher.Column.AppendJSON: it never fails, because text that is not what
// the type promises becomes a JSON string, and it allocates nothing once dst has
// room.
//
//	bool                           true or false
//	int2, int4, int8, oid, float4,
//	float8, numeric                the number digit by digit; NaN and ±Infinity as strings
//	json, jsonb                    the document as it is
//	timestamp, timestamptz         RFC 3339 as a string, see appendTimestamp
//	arrays of built-in types       JSON arrays of the above
//	every other type               the text as a string
//
// The text is that of a session with DateStyle ISO, IntervalStyle postgres,
// bytea_output hex, extra_float_digits of at least 1 and, for timestamps to be
// in UTC, TimeZone UTC.
func appenderFor(oid uint32, _ config.Values, _ map[uint32]typeInfo) func(dst, text []byte) []byte {
	if element, ok := arrayElements[oid]; ok {
		return arrayAppender(scalarAppender(element), delimiter(element))
	}
	return scalarAppender(oid)
}

// scalarAppender is appenderFor for types that are no arrays.
func scalarAppender(oid uint32) func(dst, text []byte) []byte {
	switch oid {
	case oidBool:
		return appendBool
	case oidInt2, oidInt4, oidInt8, oidOID, oidFloat4, oidFloat8, oidNumeric:
		return format.AppendNumber
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
