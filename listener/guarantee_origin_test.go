package listener

import "testing"

func TestOriginOfReplicatedChangesDecidesWhetherTheyAreDropped(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	origin := quoteLiteral("origin_" + s.db.Name)
	// The slot first, so that the changes come after it.
	all := newGuaranteeSink()
	r := s.stream(all)
	s.exec("SELECT pg_replication_origin_create("+origin+")", "SELECT pg_replication_origin_session_setup("+origin+")",
		"INSERT INTO t VALUES (1)", "SELECT pg_replication_origin_session_reset()", "INSERT INTO t VALUES (2)")
	s.finally("SELECT pg_replication_origin_drop(" + origin + ")")
	guaranteeSame(t, guaranteeLines(t, all.awaitAccepted(s.ctx, t, 2)), []string{"INSERT public.t map[id:1] map[]", "INSERT public.t map[id:2] map[]"})
	s.awaitConfirmedOf(all, 2)
	r.stop()

	s.cfg.DropForeignOrigin = true
	if s.server.Version() < 16 {
		guaranteeWords(t, s.refused().Error(), "listener.dropForeignOrigin needs PostgreSQL 16")
		return
	}
	own := newGuaranteeSink()
	s.stream(own)
	s.exec("SELECT pg_replication_origin_session_setup("+origin+")", "INSERT INTO t VALUES (3)",
		"SELECT pg_replication_origin_session_reset()", "INSERT INTO t VALUES (4)")
	guaranteeSame(t, guaranteeLines(t, own.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:4] map[]"})
}
