package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestConnectionIsReadAsLibpqDoes(t *testing.T) {
	type values = map[string]string
	for text, want := range map[string]values{
		"host=db port=5432 dbname=shop user=u password=p": {"host": "db", "port": "5432", "dbname": "shop", "user": "u", "password": "p"},
		"":                                       {},
		"\thost = db\n port='5433' ":             {"host": "db", "port": "5433"},
		`password='a b\'c\\d' user=it\'s\ me`:    {"password": `a b'c\d`, "user": "it's me"},
		`password='' host=db`:                    {"password": "", "host": "db"},
		"password=${a b} host=${file:/run/my x}": {"password": "${a b}", "host": "${file:/run/my x}"},
		"password='x${a'b}y'":                    {"password": "x${a'b}y"},
		"password=$${a":                          {"password": "$${a"},
		`password=$\{a`:                          {"password": "$${a"},
		"password=${a":                           {"password": "${a"},
		"host=/var/run/postgresql sslmode=require sslrootcert=/ca.pem": {"host": "/var/run/postgresql", "sslmode": "require", "sslrootcert": "/ca.pem"},
		"host=db connect_timeout=10 application_name=setu":             {"host": "db"},

		"postgres://":                              {},
		"postgresql://db":                          {"host": "db"},
		"postgres://u:p@db:5433/shop":              {"user": "u", "password": "p", "host": "db", "port": "5433", "dbname": "shop"},
		"postgres://u%40x:p%2F%3a%25@db/sh%20op":   {"user": "u@x", "password": "p/:%", "host": "db", "dbname": "sh op"},
		"postgres://u:a:b@c@[::1]:5433/":           {"user": "u", "password": "a:b@c", "host": "::1", "port": "5433"},
		"postgres://[::1]":                         {"host": "::1"},
		"postgres://%2Fvar%2Frun/shop":             {"host": "/var/run", "dbname": "shop"},
		"postgres:///shop?host=db&user=u&port=1":   {"dbname": "shop", "host": "db", "user": "u", "port": "1"},
		"postgres://db?sslmode=disable":            {"host": "db", "sslmode": "disable"},
		"postgres://${u}:${p}@${h}:${port}/${d}":   {"user": "${u}", "password": "${p}", "host": "${h}", "port": "${port}", "dbname": "${d}"},
		"postgres://u:${file:/run/p?@}@db/x${y}z?": {"user": "u", "password": "${file:/run/p?@}", "host": "db", "dbname": "x${y}z"},
		"postgres://u:%24%7Ba}@db":                 {"user": "u", "password": "$${a}", "host": "db"},
	} {
		c, err := parseConnection(text)
		if err != nil || !maps.Equal(c.values, want) {
			t.Errorf("%q\ngot  %q, %v\nwant %q", text, c.values, err, want)
		}
	}
}

func TestWrongConnectionIsRefusedWithoutItsValues(t *testing.T) {
	for text, want := range map[string]string{
		"host=db passfile=hunter2":           "the keyword passfile means nothing here; remove it",
		"password=hunter2 options=hunter2":   "the keyword options means nothing here; remove it",
		"postgres://db?sslkey=hunter2":       "the keyword sslkey means nothing here; remove it",
		"hots=hunter2":                       "the keyword hots means nothing here; did you mean host?",
		"password=a hunter2=b":               "has a word behind the password that is no keyword known here; remove it, or quote the password if it is part of that",
		"password=a hunter2":                 "has a word that is no keyword=value; write password='...' if a value has blanks",
		"hunter2":                            "has a word that is no keyword=value; write password='...' if a value has blanks",
		"=hunter2":                           "has a word that is no keyword=value; write password='...' if a value has blanks",
		"host=db ${hunter2} user=x":          "has a word that is no keyword=value; write password='...' if a value has blanks",
		"host=db ${hunter2}=x":               "has a word that is no keyword=value; write password='...' if a value has blanks",
		"password='hunter2":                  "the value of password has no apostrophe at its end",
		"user=hunter2 host=a user=hunter2":   "the keyword user is there twice",
		"postgres://hunter2@db?user=hunter2": "the keyword user is there twice",
		"host=db,hunter2":                    "names several hosts; write the one to read from",
		"postgres://u:hunter2%@db":           "has a % without two hexadecimal digits; write it %25",
		"postgres://u:hunter2%ff@db":         "holds a character that PostgreSQL cannot take",
		"postgres://u:${a}hunter2%001%00@db": "holds a character that PostgreSQL cannot take",
		"password=hunter2\x00":               "holds a character that PostgreSQL cannot take",
		"password=hunter2\xff":               "holds a character that PostgreSQL cannot take",
		"postgres://u:hunter2@a,b:2/db":      "names several hosts; write the one to read from",
	} {
		_, err := parseConnection(text)
		switch {
		case err == nil:
			t.Errorf("%q is taken", text)
		case err.Error() != want:
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestKeywordsThatOnlyTuneAConnectionAreNoted(t *testing.T) {
	c, err := parseConnection("host=db connect_timeout=10 keepalives=1")
	if want := []string{"connect_timeout", "keepalives"}; err != nil || !slices.Equal(c.ignored, want) {
		t.Errorf("got %q, %v, want %q", c.ignored, err, want)
	}
}

// FuzzConnection wants every text to be read or refused, and a value to come out
// of apostrophes as it went in.
func FuzzConnection(f *testing.F) {
	for _, seed := range []string{
		"host=db", "host = 'a b' user=x\\'y", "postgres://u:p@h:1/d?sslmode=require", "postgresql://[::1]", "password=${a}", "%", "'", "$${", "\x000\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseConnection(text); err != nil && err.Error() == "" {
			t.Error("the error says nothing")
		}
		if _, err := parseConnection("postgres://" + text); err != nil && err.Error() == "" {
			t.Error("the error says nothing")
		}
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(escape(text))
		c, err := parseConnection("password='" + quoted + "' host=db")
		if err != nil {
			return // It holds what no value may.
		}
		if got, _ := expand(c.values["password"], nil); got != text || c.values["host"] != "db" {
			t.Errorf("%q came out as %q, the host as %q", text, got, c.values["host"])
		}
	})
}
