package config

import (
	"math"
	"net/url"
)

// minToken is how long a token has to be that others may try to guess.
const minToken = 16

func (ck *checker) monitoring(m *Monitoring) {
	if m.PromAddr != "" {
		ck.hostPort("monitoring.promAddr", m.PromAddr)
	}
	if m.Address != AddressOff {
		ck.hostPort("monitoring.address", m.Address)
	}
	token := m.Token.Reveal()
	ck.when(token != "" && len(token) < minToken, "monitoring.token", "must have at least %d characters", minToken)
	ck.when(m.MaxSeries < 1, "monitoring.maxSeries", "must be at least 1")
	ck.tracing(&m.Tracing)
}

func (ck *checker) tracing(t *Tracing) {
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		ok := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" // the log shows it
		ck.when(!ok, "monitoring.tracing.endpoint", "must be a URL such as http://collector:4318, without user, password and query "+
			"(headers are set by OTEL_EXPORTER_OTLP_HEADERS)")
	}
	ck.when(math.IsNaN(t.Ratio) || t.Ratio < 0 || t.Ratio > 1, "monitoring.tracing.ratio", "must be from 0 to 1")
}
