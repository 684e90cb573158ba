package listener

import (
	"context"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/metrics"
)

// patient is a describer that keeps the server informed while it waits for the
// catalogue: that is asked through another connection, which can hang while the
// replication connection must not.
type patient struct {
	*catalogue
	s *stream
}

func (p *patient) describe(ctx context.Context, rel *pgoutput.Relation) (d details, err error) {
	if p.catalogue.knows(rel) {
		return p.catalogue.describe(ctx, rel)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer metrics.ReportPanic()
		d, err = p.catalogue.describe(ctx, rel)
	}()
	tick := p.s.deafTicker()
	defer tick.Stop()
	for {
		select {
		case <-done:
			p.s.heard = true // nobody listened meanwhile
			return d, err
		case <-tick.C:
			if statusErr := p.s.sendStatus(false); statusErr != nil {
				cancel()
				<-done
				return details{}, statusErr
			}
		}
	}
}
