package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver"
)

// showPublication runs the command and returns what it wrote.
func showPublication(t *testing.T, configuration string) (code int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = run(t.Context(), []string{"publication", "show", "-c", path}, &out, &errs)
	return code, out.String(), errs.String()
}

func TestPublicationShowPrintsWhatIsPublishedAndWhatDiffers(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Options{})
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec("CREATE TABLE users (id int PRIMARY KEY, name text, secret text)")
	exec("CREATE TABLE orders (id int PRIMARY KEY)")
	configuration := sections(s, "publisher: {type: discard}\n")
	configuration = strings.Replace(configuration, "slotName: wh", "slotName: wh, publication: {name: shop, tables: [orders]}", 1)

	code, stdout, stderr := showPublication(t, configuration)
	if code != exitError || stdout != "" {
		t.Errorf("of no publication: exit code %d, printed %q", code, stdout)
	}
	for _, words := range []string{`publication does not exist: "shop"`, `CREATE PUBLICATION "shop" FOR TABLE "orders"`} {
		if !strings.Contains(stderr, words) {
			t.Errorf("standard error says %q, not %q", stderr, words)
		}
	}

	table, want := "users", "public.users"
	if s.Version() >= 15 {
		table, want = "users (id, name) WHERE (id > 5)", "public.users (id, name) WHERE (id > 5)"
	}
	exec("CREATE PUBLICATION shop FOR TABLE " + table + " WITH (publish = 'insert')")
	code, stdout, stderr = showPublication(t, configuration)
	if code != exitOK || stderr != "" {
		t.Errorf("exit code %d, standard error %q", code, stderr)
	}
	expectLine(t, stdout, "publication  ", "shop")
	expectLine(t, stdout, "owner  ", "postgres")
	expectLine(t, stdout, "publishes  ", "insert")
	expectLine(t, stdout, "via partition root  ", "false")
	expectLine(t, stdout, "table  ", want)
	expectLine(t, stdout, "differs  ", "listener.publication.tables", "does not publish public.orders")
	expectLine(t, stdout, " ", `ALTER PUBLICATION "shop" ADD TABLE "public"."orders"`)
	expectLine(t, stdout, "differs  ", "also publishes public.users")

	exec("DROP PUBLICATION shop")
	exec("CREATE PUBLICATION shop FOR ALL TABLES")
	_, stdout, _ = showPublication(t, configuration)
	expectLine(t, stdout, "tables  ", "all")
	expectLine(t, stdout, " ", `BEGIN; DROP PUBLICATION "shop"; CREATE PUBLICATION "shop" FOR TABLE "orders"; COMMIT`)
}

func TestPublicationShowNamesAServerThatIsNotThere(t *testing.T) {
	code, stdout, stderr := showPublication(t, nowhere+"publisher: {type: discard}\n")
	if code != exitError || stdout != "" || !strings.Contains(stderr, "connect to PostgreSQL") {
		t.Errorf("exit code %d, printed %q, standard error %q", code, stdout, stderr)
	}
}
