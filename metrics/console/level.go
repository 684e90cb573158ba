package console

import (
	"log/slog"
	"net/http"
	"strings"
)

// Level is the level of the log.
type Level struct {
	// Level in effect, and the one of the configuration: debug, info, warn or error.
	Level      string `json:"level"`
	Configured string `json:"configured"`
}

// wantedLevel is the body of a request for another level.
type wantedLevel struct {
	Level string `json:"level"`
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func levelName(l slog.Level) string { return strings.ToLower(l.String()) }

func (c *Console) levelAnswer(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Level{Level: levelName(c.o.Level.Level()), Configured: levelName(c.o.BaseLevel())})
}

func (c *Console) setLevel(w http.ResponseWriter, r *http.Request) {
	var wanted wantedLevel
	if !read(w, r, &wanted) {
		return
	}
	level, known := levels[wanted.Level]
	if !known {
		refuse(w, http.StatusBadRequest, "level has to be debug, info, warn or error")
		return
	}
	c.changeLevel(w, r, level)
}

func (c *Console) debugOn(w http.ResponseWriter, r *http.Request) {
	c.changeLevel(w, r, slog.LevelDebug)
}

func (c *Console) debugOff(w http.ResponseWriter, r *http.Request) {
	c.changeLevel(w, r, c.o.BaseLevel())
}

// changeLevel logs at whichever of both levels says more: a log that falls silent
// says why.
func (c *Console) changeLevel(w http.ResponseWriter, r *http.Request, to slog.Level) {
	from := c.o.Level.Level()
	say := func() {
		c.o.Log.Info("log level changed", "from", levelName(from), "to", levelName(to), "remote", r.RemoteAddr)
	}
	if to > from {
		say()
		c.o.Level.Set(to)
	} else {
		c.o.Level.Set(to)
		say()
	}
	c.levelAnswer(w, r)
}
