package listener

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestSlotThatCannotServeIsRefusedWithAWayOut(t *testing.T) {
	usable := slotState{exists: true, plugin: "pgoutput", database: "shop", confirmed: 0x16B3748}
	changed := func(change func(*slotState)) slotState {
		s := usable
		change(&s)
		return s
	}
	const drop = "walherald slot drop"
	for _, tt := range []struct {
		name        string
		slot        slotState
		publication bool
		want        []string // in the error; none means no error
	}{
		{"usable", usable, true, nil},
		{"not yet there", slotState{}, true, nil},
		{"neither slot nor publication", slotState{}, false, nil},
		{"held by another process", changed(func(s *slotState) { s.activePID = "7" }), true, nil},
		{
			"another plugin", changed(func(s *slotState) { s.plugin = "test_decoding" }), true,
			[]string{`"test_decoding"`, "choose another listener.slotName"},
		},
		{
			"physical", changed(func(s *slotState) { s.plugin, s.database = "", "" }), true,
			[]string{"needs pgoutput", "choose another listener.slotName"},
		},
		{
			"another database", changed(func(s *slotState) { s.database = "blog" }), true,
			[]string{`"blog"`, `"shop"`, "choose another listener.slotName"},
		},
		{
			"publication is gone", usable, false,
			[]string{`publication "herald" does not`, "listener.publication", "since 0/16B3748", drop},
		},
	} {
		l := &link{id: identity{database: "shop"}}
		err := l.judgeSlot("shop_slot", tt.slot, "herald", tt.publication)
		if len(tt.want) == 0 {
			if err != nil {
				t.Errorf("%s: got %v", tt.name, err)
			}
			continue
		}
		if err == nil || !isFatal(err) {
			t.Errorf("%s: got %v, want an error that ends the process", tt.name, err)
			continue
		}
		for _, want := range append(tt.want, "slot shop_slot") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %s", tt.name, err, want)
			}
		}
	}
}

func TestErrorsThatOnlyAHumanCanMendEndTheProcess(t *testing.T) {
	server := func(code string) error {
		return fmt.Errorf("connect to PostgreSQL: %w", &pgconn.PgError{Code: code})
	}
	for name, tt := range map[string]struct {
		err   error
		fatal bool
	}{
		"wrong password":               {server("28P01"), true},
		"no entry in pg_hba.conf":      {server("28000"), true},
		"no right":                     {server("42501"), true},
		"no such publication":          {server("42704"), true},
		"syntax":                       {server("42601"), true},
		"no such database":             {server("3D000"), true},
		"wal_level is not logical":     {server("55000"), true},
		"option it does not know":      {server("22023"), true},
		"feature it does not have":     {server("0A000"), true},
		"slot in use":                  {server("55006"), false},
		"shutting down":                {server("57P01"), false},
		"starting up":                  {server("57P03"), false},
		"too many connections":         {server("53300"), false},
		"disk full":                    {server("53100"), false},
		"connection lost":              {fmt.Errorf("read from server: %w", io.ErrUnexpectedEOF), false},
		"ours, wrapped":                {fmt.Errorf("prepare: %w", fatalf("slot %s is gone", "a")), true},
		"an error like any other":      {errors.New("42501"), false},
		"nothing":                      {nil, false},
		"cause of one of ours is kept": {fatalf("read: %w", io.EOF), true},
	} {
		if got := isFatal(tt.err); got != tt.fatal {
			t.Errorf("%s: fatal is %v", name, got)
		}
	}
	if err := fatalf("read: %w", io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("%v hides its cause", err)
	}
	if !slotInUse(server("55006")) || slotInUse(server("55000")) || slotInUse(nil) {
		t.Error("only 55006 says that the slot is in use")
	}
}

// Failure 25 of docs/failures.md.
func TestNamesOfAnySpellingAreQuoted(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{quoteLiteral("it's"), `'it''s'`},
		{quoteLiteral(""), `''`},
		{quoteIdent(`Größe "XL"`), `"Größe ""XL"""`},
		{quoteTable("users"), `"users"`},
		{quoteTable("public.Users"), `"public"."Users"`},
		{quoteTable(`a"b.c'd`), `"a""b"."c'd"`},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}
