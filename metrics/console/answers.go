package console

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/walherald/walherald/metrics"
)

// maxBody bounds the body of a request in bytes.
const maxBody = 64 << 10

// answer writes v as JSON.
func answer(w http.ResponseWriter, code int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error":"encode answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // a client that is gone needs no answer
}

// Failure is the answer to a request that is refused or failed.
type Failure struct {
	// Error says why, and what to do.
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, code int, reason string) {
	answer(w, code, Failure{Error: reason})
}

// read decodes the body of a request into v. Where that cannot be done it has answered
// and returns false.
func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		w.Header().Set("Accept", "application/json")
		refuse(w, http.StatusUnsupportedMediaType, "the body has to be application/json")
		return false
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("there is something behind the JSON value")
		} else if errors.Is(err, io.EOF) {
			return true
		}
	}
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, "the body is larger than 64 kB")
		return false
	}
	refuse(w, http.StatusBadRequest, "decode body: "+strings.TrimPrefix(err.Error(), "json: "))
	return false
}

// healthAnswer says whether the process moves, in a line of text.
func (c *Console) healthAnswer(w http.ResponseWriter, _ *http.Request) {
	report := c.o.Health.Alive()
	text, code := "alive\n", http.StatusOK
	if !report.Alive {
		var stuck []string
		for _, b := range report.Heartbeats {
			if !b.Alive {
				stuck = append(stuck, b.Name)
			}
		}
		text, code = "stuck: "+strings.Join(stuck, ", ")+"\n", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text) // a client that is gone needs no answer
}

// statusAnswer says how source and outputs do.
func (c *Console) statusAnswer(w http.ResponseWriter, _ *http.Request) {
	s := c.present()
	code := http.StatusOK
	if s.State != metrics.StatusReady && s.State != metrics.StatusStandby {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, s)
}

// Stats are the counters, and what became of them in the last seconds.
type Stats struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	// Uptime is how long the process runs, in seconds.
	Uptime float64 `json:"uptimeSeconds"`

	// Totals since the process started.
	Transactions float64 `json:"transactions"`
	Changes      float64 `json:"changes"`
	Filtered     float64 `json:"filtered"`
	Reconnects   float64 `json:"reconnects"`

	Outputs []OutputStats `json:"outputs"`
	Rules   []Rule        `json:"rules"`
	Rates   Rates         `json:"rates"`
}

// OutputStats are the counters of one output.
type OutputStats struct {
	Name      string  `json:"name"`
	Published float64 `json:"published"`
	Batches   float64 `json:"batches"`
	Failures  float64 `json:"failures"`
	HeldUp    float64 `json:"heldUpSeconds"`
	Waiting   float64 `json:"waitingEvents"`
	Parked    float64 `json:"parked"`
}

// statsAnswer gives the counters.
func (c *Console) statsAnswer(w http.ResponseWriter, _ *http.Request) {
	s := c.present()
	stats := Stats{
		Version: s.Version, At: s.At, Uptime: max(s.At.Sub(s.Started), 0).Seconds(),
		Transactions: s.Source.Transactions, Changes: s.Source.Changes,
		Filtered: s.Source.Filtered, Reconnects: s.Source.Reconnects,
		Outputs: make([]OutputStats, 0, len(s.Outputs)), Rules: s.Rules, Rates: c.history.rates(s),
	}
	for _, o := range s.Outputs {
		stats.Outputs = append(stats.Outputs, OutputStats{
			Name: o.Name, Published: o.Published, Batches: o.Batches, Failures: o.Failures,
			HeldUp: o.HeldUp, Waiting: o.WaitingEvents, Parked: o.Parked,
		})
	}
	answer(w, http.StatusOK, stats)
}
