package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	// listed is how many parked notifications are listed if nobody says, mostListed how
	// many at most.
	listed     = 100
	mostListed = 1000
	// mostIDs bounds a request to retry or drop.
	mostIDs = 1000
	// patience bounds what a request may take that tries to deliver, or asks where
	// parked notifications are.
	patience = 2 * time.Minute
)

// ParkedList is the answer to who asks what is parked.
type ParkedList struct {
	// Total is how many there are; Parked may be fewer.
	Total  int      `json:"total"`
	Parked []Parked `json:"parked"`
}

// parkedWish is the body of a request to retry or drop.
type parkedWish struct {
	ParkedFilter
	// All has to be there if nothing is selected, so that no mistake drops everything.
	All bool `json:"all"`
}

// parked lists what is parked: ?destination=NAME&limit=N.
func (c *Console) parked(w http.ResponseWriter, r *http.Request) {
	if !c.hasParking(w) {
		return
	}
	limit := listed
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostListed {
			refuse(w, http.StatusBadRequest, "limit has to be a number from 1 to "+strconv.Itoa(mostListed))
			return
		}
		limit = n
	}
	filter := ParkedFilter{Destination: r.URL.Query().Get("destination")}
	ctx, cancel := patiently(w, r)
	defer cancel()
	found, total, err := c.o.Parking.List(ctx, filter, limit)
	if err != nil {
		c.parkingFailed(w, r, err)
		return
	}
	if found == nil {
		found = []Parked{}
	}
	answer(w, http.StatusOK, ParkedList{Total: total, Parked: found})
}

func (c *Console) retryParked(w http.ResponseWriter, r *http.Request) {
	c.changeParked(w, r, "retried", Parking.Retry)
}

func (c *Console) dropParked(w http.ResponseWriter, r *http.Request) {
	c.changeParked(w, r, "dropped", Parking.Drop)
}

// changeParked does what a request wants with those it selects.
func (c *Console) changeParked(w http.ResponseWriter, r *http.Request, done string,
	do func(Parking, context.Context, ParkedFilter) (ParkedResult, error),
) {
	if !c.hasParking(w) {
		return
	}
	var wish parkedWish
	if !read(w, r, &wish) {
		return
	}
	switch everything := wish.Destination == "" && len(wish.IDs) == 0; {
	case everything && !wish.All:
		refuse(w, http.StatusBadRequest, `name a destination or ids, or say "all": true`)
		return
	case wish.All && !everything:
		refuse(w, http.StatusBadRequest, `"all" goes with neither destination nor ids`)
		return
	case len(wish.IDs) > mostIDs:
		refuse(w, http.StatusBadRequest, "at most "+strconv.Itoa(mostIDs)+" ids at once")
		return
	}
	ctx, cancel := patiently(w, r)
	defer cancel()
	result, err := do(c.o.Parking, ctx, wish.ParkedFilter)
	if err != nil {
		c.parkingFailed(w, r, err)
		return
	}
	c.o.Log.Info("parked notifications "+done+" by request", "destination", wish.Destination, "ids", len(wish.IDs),
		"done", result.Done, "failed", result.Failed, "remote", r.RemoteAddr)
	answer(w, http.StatusOK, result)
}

// patiently gives a request the time that it needs, in place of the server's limit, which
// is that of answers from memory.
func patiently(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	// What cannot do that has no limit.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience + writeLimit))
	return context.WithTimeout(r.Context(), patience)
}

// hasParking has answered if it returns false.
func (c *Console) hasParking(w http.ResponseWriter) bool {
	if c.o.Parking == nil {
		refuse(w, http.StatusNotFound, "there is no parking: no destination of the notifier parks")
	}
	return c.o.Parking != nil
}

func (c *Console) parkingFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrFilter) {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	c.o.Log.Warn("request about parked notifications failed", "path", r.URL.Path, "error", err, "remote", r.RemoteAddr)
	refuse(w, http.StatusBadGateway, err.Error())
}
