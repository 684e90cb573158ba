package listener

// The OIDs of the built-in types whose values are not simply strings, and of
// bytea and box, from PostgreSQL's catalog (pg_type.dat); they never change.
const (
	oidBool        = 16
	oidBytea       = 17
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidOID         = 26
	oidJSON        = 114
	oidBox         = 603
	oidFloat4      = 700
	oidFloat8      = 701
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidNumeric     = 1700
	oidJSONB       = 3802
)

// firstAssignedOID is the first OID that a type can have which has no fixed one
// (FirstGenbkiObjectId): below it are the built-in types, from it on those that
// initdb makes, and from 16384 on those that anybody makes.
const firstAssignedOID = 10000

// builtInTypes lists the built-in types that have arrays (pg_type.dat). The name
// of the array is that of its elements after an underscore.
var builtInTypes = []struct {
	name       string
	oid, array uint32
}{
	{"xml", 142, 143},
	{"json", 114, 199},
	{"xid8", 5069, 271},
	{"line", 628, 629},
	{"cidr", 650, 651},
	{"circle", 718, 719},
	{"macaddr8", 774, 775},
	{"money", 790, 791},
	{"bool", 16, 1000},
	{"bytea", 17, 1001},
	{"char", 18, 1002},
	{"name", 19, 1003},
	{"int2", 21, 1005},
	{"int2vector", 22, 1006},
	{"int4", 23, 1007},
	{"regproc", 24, 1008},
	{"text", 25, 1009},
	{"tid", 27, 1010},
	{"xid", 28, 1011},
	{"cid", 29, 1012},
	{"oidvector", 30, 1013},
	{"bpchar", 1042, 1014},
	{"varchar", 1043, 1015},
	{"int8", 20, 1016},
	{"point", 600, 1017},
	{"lseg", 601, 1018},
	{"path", 602, 1019},
	{"box", 603, 1020},
	{"float4", 700, 1021},
	{"float8", 701, 1022},
	{"polygon", 604, 1027},
	{"oid", 26, 1028},
	{"aclitem", 1033, 1034},
	{"macaddr", 829, 1040},
	{"inet", 869, 1041},
	{"timestamp", 1114, 1115},
	{"date", 1082, 1182},
	{"time", 1083, 1183},
	{"timestamptz", 1184, 1185},
	{"interval", 1186, 1187},
	{"numeric", 1700, 1231},
	{"cstring", 2275, 1263},
	{"timetz", 1266, 1270},
	{"bit", 1560, 1561},
	{"varbit", 1562, 1563},
	{"refcursor", 1790, 2201},
	{"regprocedure", 2202, 2207},
	{"regoper", 2203, 2208},
	{"regoperator", 2204, 2209},
	{"regclass", 2205, 2210},
	{"regtype", 2206, 2211},
	{"record", 2249, 2287},
	{"txid_snapshot", 2970, 2949},
	{"uuid", 2950, 2951},
	{"pg_lsn", 3220, 3221},
	{"tsvector", 3614, 3643},
	{"gtsvector", 3642, 3644},
	{"tsquery", 3615, 3645},
	{"regconfig", 3734, 3735},
	{"regdictionary", 3769, 3770},
	{"jsonb", 3802, 3807},
	{"int4range", 3904, 3905},
	{"numrange", 3906, 3907},
	{"tsrange", 3908, 3909},
	{"tstzrange", 3910, 3911},
	{"daterange", 3912, 3913},
	{"int8range", 3926, 3927},
	{"jsonpath", 4072, 4073},
	{"regnamespace", 4089, 4090},
	{"regrole", 4096, 4097},
	{"regcollation", 4191, 4192},
	{"pg_snapshot", 5038, 5039},
	{"int4multirange", 4451, 6150},
	{"nummultirange", 4532, 6151},
	{"tsmultirange", 4533, 6152},
	{"tstzmultirange", 4534, 6153},
	{"datemultirange", 4535, 6155},
	{"int8multirange", 4536, 6157},
}

// arrayElements maps the OIDs of the built-in array types to those of their
// elements.
var arrayElements = func() map[uint32]uint32 {
	m := make(map[uint32]uint32, len(builtInTypes))
	for _, t := range builtInTypes {
		m[t.array] = t.oid
	}
	return m
}()

// builtInOIDs maps the names of the built-in types, arrays included, to their OIDs.
var builtInOIDs = func() map[string]uint32 {
	m := make(map[string]uint32, 2*len(builtInTypes))
	for _, t := range builtInTypes {
		m[t.name], m["_"+t.name] = t.oid, t.array
	}
	return m
}()

// delimiter returns the byte between the elements of an array of a built-in type
// (pg_type.typdelim).
func delimiter(oid uint32) byte {
	if oid == oidBox {
		return ';'
	}
	return ','
}
