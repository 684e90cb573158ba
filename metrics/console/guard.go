package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// policy is what the page may do: load its own files and talk to this server. It can
// make no markup from text (Trusted Types), and nobody can frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// guard does for every request what does not depend on the endpoint.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !c.knownHost(r) {
			refuse(w, http.StatusMisdirectedRequest, "this server is not known by that name over loopback: "+
				"use localhost, an IP address or the host of monitoring.address")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// knownHost reports whether the name that the client calls the server by is a good
// one, see the package comment. A client that gives none is no browser.
func (c *Console) knownHost(r *http.Request) bool {
	name := hostOf(r.Host)
	if name == "" {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if strings.EqualFold(name, "localhost") || c.o.Host != "" && strings.EqualFold(name, c.o.Host) {
		return true
	}
	return !overLoopback(r)
}

// hostOf is the host of a header Host, without port and brackets.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = header
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// overLoopback reports whether the request came over loopback. What is not known
// counts as such.
func overLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	local, err := netip.ParseAddrPort(addr.String())
	return err != nil || local.Addr().Unmap().IsLoopback()
}

// withToken lets requests pass that show the token and that no other site caused.
func (c *Console) withToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch from := remote(r); {
		case crossOrigin(r):
			refuse(w, http.StatusForbidden, "requests that another site causes are refused")
		case c.o.Token == "":
			refuse(w, http.StatusForbidden, "this is off: it takes a token, and monitoring.token is not set")
		case hasToken(r, c.o.Token):
			// First of all: who has it is not to wait for others at the same address, as
			// behind a proxy. What keeps it from being guessed is its length.
			next.ServeHTTP(w, r)
		case c.guesses.tooMany(from):
			w.Header().Set("Retry-After", "60")
			refuse(w, http.StatusTooManyRequests, "too many wrong tokens from this address: wait a minute")
		default:
			if r.Header.Get("Authorization") != "" {
				c.guesses.wrong(from)
				c.o.Log.Warn("request with a wrong token", "path", r.URL.Path, "remote", r.RemoteAddr)
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="walherald"`)
			refuse(w, http.StatusUnauthorized, "the token (monitoring.token) is missing or wrong: send it as Authorization: Bearer TOKEN")
		}
	})
}

// crossOrigin reports whether a browser says that another site caused the request.
// The check lets GET pass, which here may change something, too.
func crossOrigin(r *http.Request) bool {
	changing := *r
	changing.Method = http.MethodPost
	return http.NewCrossOriginProtection().Check(&changing) != nil
}

// hasToken compares in a time that depends neither on the token nor on its length.
func hasToken(r *http.Request, token string) bool {
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	a, b := sha256.Sum256([]byte(strings.TrimSpace(shown))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// remote is the address of the client without its port, which changes.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

const (
	// maxGuesses is how many wrong tokens an address may show in a minute.
	maxGuesses = 10
	// maxGuessers bounds the memory for that. Further addresses go uncounted: it is
	// the token's length that makes guessing hopeless, not this.
	maxGuessers = 1024
)

// guesses counts wrong tokens. It is safe for concurrent use.
type guesses struct {
	clock func() time.Time

	mu     sync.Mutex
	minute time.Time // when counting began
	by     map[string]int
}

func (g *guesses) wrong(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renew()
	if _, known := g.by[from]; known || len(g.by) < maxGuessers {
		g.by[from]++
	}
}

func (g *guesses) tooMany(from string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.renew()
	return g.by[from] >= maxGuesses
}

// renew begins a new minute when one is over. It needs g.mu.
func (g *guesses) renew() {
	if now := g.clock(); g.by == nil || now.Sub(g.minute) >= time.Minute {
		g.minute, g.by = now, make(map[string]int)
	}
}
