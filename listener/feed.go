package listener

import (
	"bufio"
	"io"
	"time"
)

// A walsender writes row by row. A reader that is faster than it therefore
// wakes up for every few rows, and both sides spend more on system calls than
// on rows. So in a flood, and only then, the reader pauses for a moment before
// it reads on: what comes meanwhile waits in the socket's buffers and is read
// at once. What has been read already does not wait, and a change that comes
// alone is not held up, since a flood is measured, not expected.
const (
	// readBuffer is how much is read from the socket at once, in bytes.
	readBuffer = 256 << 10
	// floodRate is the bytes in a second that make a flood: some 4,000
	// rows. A server that has thousands of tables to describe sends no faster at
	// first, and would wake us for every row.
	floodRate = 1 << 20
	// floodPause is how long the pause is asked to be. The runtime rounds it up
	// to about a millisecond when the process has nothing else to do.
	floodPause = 200 * time.Microsecond
)

// feed reads the socket in large pieces and tells when it runs dry: that is
// the moment to hand on what has been gathered.
type feed struct {
	r     *bufio.Reader
	onDry func()

	since time.Time // when bytes began to count
	bytes int
	total uint64 // bytes that ever came
}

func newFeed(r io.Reader) *feed { return &feed{r: bufio.NewReaderSize(r, readBuffer)} }

// Read implements io.Reader.
func (f *feed) Read(p []byte) (int, error) {
	if f.r.Buffered() == 0 && f.onDry != nil {
		f.onDry()
		f.gather()
	}
	n, err := f.r.Read(p)
	f.bytes += n
	f.total += uint64(n)
	return n, err
}

// gather pauses if this is a flood.
func (f *feed) gather() {
	now := time.Now()
	elapsed := now.Sub(f.since)
	if elapsed < floodPause {
		return // too short to tell
	}
	flood := float64(f.bytes) > floodRate*elapsed.Seconds()
	f.since, f.bytes = now, 0
	if flood {
		time.Sleep(floodPause)
	}
}
