package config

import (
	"slices"
	"strings"
	"testing"
)

// variable returns the one of the name.
func variable(t *testing.T, name string) Variable {
	t.Helper()
	all := Variables()
	i := slices.IndexFunc(all, func(v Variable) bool { return v.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return all[i]
}

func TestEveryVariableIsListedOnce(t *testing.T) {
	var got, want []string
	for _, v := range Variables() {
		got = append(got, v.Name)
		if v.Key == "" || v.Type == "" || v.Meaning == "" || strings.ContainsAny(v.Meaning, "\n`") || v.Set {
			t.Errorf("not as it should be: %+v", v)
		}
	}
	for _, k := range schema {
		want = append(want, k.env...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed are\n%q, want\n%q", got, want)
	}
}

func TestVariableSaysWhatItsKeyIs(t *testing.T) {
	want := Variable{
		Name: "WAL_LISTENER_ACKTIMEOUT", Key: "listener.ackTimeout", Type: "duration", Default: "30s",
		Meaning: "How long one attempt to deliver a batch to a broker may take; destinations of the notifier have timeout and timeBudget",
	}
	if got := variable(t, want.Name); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := variable(t, "WAL_LISTENER_DB_PASSWORD").Meaning; got != "The same as WAL_DATABASE_PASSWORD" {
		t.Errorf("another spelling is %q", got)
	}
	if got := variable(t, "WAL_LISTENER_SLOTNAME").Meaning; got != "Required. The replication slot, 1 to 63 of a-z, 0-9 and _" {
		t.Errorf("what is required is %q", got)
	}
}

func TestVariableIsSetOnlyIfItIsNotEmpty(t *testing.T) {
	t.Setenv("WAL_DATABASE_PASSWORD", "hunter2")
	t.Setenv("WAL_DATABASE_USER", "")
	if !variable(t, "WAL_DATABASE_PASSWORD").Set || variable(t, "WAL_DATABASE_USER").Set {
		t.Error("Set is wrong")
	}
}
