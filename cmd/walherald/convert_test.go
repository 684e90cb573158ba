package main

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
)

const activation = `# the shop
pg_connection: "host=127.0.0.1 dbname=shop user=shop password=${shop_password}"
replication_slot: shop_slot
publication: shop_pub
rules:
  - table: users
    op_type: Update
    conditions:
      - {field: plan, old_value: free, new_value: premium}
    destination:
      type: webhook
      url: "http://127.0.0.1:8080/events?token=${shop_token}"
`

// inFolder makes a folder with these files the working directory.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// convert runs the command and returns what it wrote.
func convert(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"convert"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestConvertPrintsAConfigurationThatLoadsToTheSame(t *testing.T) {
	inFolder(t, map[string]string{
		"activation.yaml": activation, "rules.yaml": activation, "channels-env.yml": "shop_password: geheim\nshop_token: vertraulich\n",
	})
	code, converted, stderr := convert(t)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d, standard error %q", code, stderr)
	}
	if strings.Contains(converted, "geheim") || strings.Contains(converted, "vertraulich") || !strings.Contains(converted, "# the shop\n") {
		t.Errorf("a secret is in it, or the comment is not:\n%s", converted)
	}
	if err := os.WriteFile("config.yml", []byte(converted), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load("config.yml")
	want, wantErr := config.Load("activation.yaml")
	if err := errors.Join(err, wantErr); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || got.Database.Password.Reveal() != "geheim" {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	_, named, _ := convert(t, "-c", "rules.yaml")
	if named != strings.Replace(converted, "activation.yaml", "rules.yaml", 1) {
		t.Errorf("with -c it prints\n%s", named)
	}
}

func TestConvertSaysWhyItCannot(t *testing.T) {
	inFolder(t, map[string]string{
		"config.yml": nowhere + "publisher: {type: discard}\n",
		"wrong.yaml": strings.Replace(activation, "host=127.0.0.1", "hots=127.0.0.1", 1),
	})
	for _, test := range []struct {
		args []string
		code int
		word string
	}{
		{nil, exitError, "open activation.yaml: no such file or directory"},
		{[]string{"-c", "config.yml"}, exitError, "config.yml: it is no activation file of setu"},
		{[]string{"-c", "wrong.yaml"}, exitError, "wrong.yaml:2: pg_connection: the keyword hots means nothing here"},
		{[]string{"activation.yaml"}, exitUsage, "walherald --help"},
	} {
		code, stdout, stderr := convert(t, test.args...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.word) {
			t.Errorf("%q: exit code %d, printed %q, standard error %q, want %d and %q", test.args, code, stdout, stderr, test.code, test.word)
		}
	}
}
