package main

import (
	"runtime/debug"
	"testing"
)

func TestVersionIsTheOneSetOrTheOneGoKnows(t *testing.T) {
	of := func(version string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: version}} }
	for _, test := range []struct {
		set  string
		info *debug.BuildInfo
		want string
	}{
		{"v1.2.3", of("v9.9.9"), "v1.2.3"},
		{unreleased, of("v1.2.3"), "v1.2.3"},
		{unreleased, of("v0.0.0-20260301120000-0123456789ab+dirty"), "v0.0.0-20260301120000-0123456789ab+dirty"},
		{unreleased, of("(devel)"), unreleased},
		{unreleased, of(""), unreleased},
		{unreleased, nil, unreleased},
	} {
		if got := builtVersion(test.set, test.info); got != test.want {
			t.Errorf("%q with %+v: %q, want %q", test.set, test.info, got, test.want)
		}
	}
}
