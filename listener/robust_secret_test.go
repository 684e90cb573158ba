package listener

import (
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgfake"
)

func TestPasswordIsNeverToldWhateverTheServerSays(t *testing.T) {
	const password = `pa'ss "w\ord%41`
	for ask, step := range map[string]func(string) pgfake.Step{"clear text": pgfake.AskPassword, "md5": pgfake.AskMD5} {
		asking := func(s pgfake.Script) pgfake.Script { return append(pgfake.Script{step(password)}, s...) }
		for name, tt := range map[string]struct {
			given   string
			scripts []pgfake.Script
			ends    bool // the listener, by itself
		}{
			"accepted and cut": {password, []pgfake.Script{
				asking(robustDB.Serve(pgfake.Send(opened(0x100, "1")...), pgfake.Reset())),
				asking(robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108), pgfake.Hang())),
			}, false},
			"accepted, then the role may not": {password, []pgfake.Script{asking(pgfake.Script{pgfake.Refuse("42501", "must be replication role")})}, true},
			"accepted, then nothing is understood": {password, []pgfake.Script{
				asking(robustDB.Serve(pgfake.Send([]byte(password)))),
			}, true},
			"wrong": {password + "!", []pgfake.Script{asking(nil)}, true},
			"cut while asked": {password, []pgfake.Script{
				{pgfake.SendRaw([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 3}), pgfake.Reset()},
				asking(robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108), pgfake.Hang())),
			}, false},
			"way that is not known": {password, []pgfake.Script{
				{pgfake.SendRaw([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 99})},
				asking(robustDB.Serve(pgfake.Send(whole(0x100, "1")...), pgfake.AwaitFlush(0x108), pgfake.Hang())),
			}, false},
		} {
			t.Run(ask+", "+name, func(t *testing.T) {
				s := newFake(t, tt.scripts...)
				s.db.Password = config.Secret(tt.given)
				r := s.start(newGuaranteeSink())
				if tt.ends {
					if err := r.wait(); err == nil {
						t.Error("Run returned without an error")
					} else {
						wantUntold(t, err.Error(), tt.given)
					}
				} else {
					s.awaitTold(0x108)
					r.stop()
				}
				wantUntold(t, s.log.String(), tt.given)
				wantUntold(t, r.postgres().Reason, tt.given)
			})
		}
	}
}

// wantUntold wants a text not to hold the password, in whatever notation.
func wantUntold(t testing.TB, text, password string) {
	t.Helper()
	for _, form := range []string{password, password[:5], "ord%41", "ord%2541"} {
		if strings.Contains(text, form) {
			t.Errorf("the password is told: %s", text)
		}
	}
}
