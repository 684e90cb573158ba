package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/publisher"
)

// lookBack bounds how many messages of other writers are passed over in search
// of our last one.
const lookBack = 1000

// resume reads from the stream what it holds of the writer's messages, and
// makes the next message expect to follow what was read.
//
// The stream's leader is asked (not the direct API, which any replica may
// answer from an older state). A message of an earlier session that is still
// on its way is caught by the expectation.
func (s *session) resume(ctx context.Context, writer string) error {
	last, err := s.lastSequence(ctx)
	if err != nil {
		return fmt.Errorf("read state of stream %s: %w", s.stream.name, err)
	}
	held, err := s.lastID(ctx, writer, last)
	if err != nil {
		return fmt.Errorf("read position from stream %s: %w", s.stream.name, err)
	}
	s.writer, s.held, s.lastSeq = writer, held, last
	s.lastMsgID = ""
	s.expect = s.p.mismatches < maxMismatches
	if s.p.mismatches == maxMismatches {
		s.p.log.Warn("other writers keep coming between: order holds, but a change can be stored twice after a fault",
			"stream", s.stream.name)
	}
	s.p.log.Debug("position read from the stream", "stream", s.stream.name, "last_sequence", last, "last_id", held)
	return nil
}

// lastSequence returns the sequence of the stream's last message.
func (s *session) lastSequence(ctx context.Context) (uint64, error) {
	var resp struct {
		State struct {
			LastSeq uint64 `json:"last_seq"`
		} `json:"state"`
	}
	err := s.api(ctx, "STREAM.INFO."+s.stream.name, nil, &resp)
	return resp.State.LastSeq, err
}

// lastID returns the id of the writer's last message at or before sequence
// seq, or the zero ID if there is none within lookBack messages.
func (s *session) lastID(ctx context.Context, writer string, seq uint64) (publisher.ID, error) {
	for n := 0; seq > 0 && n < lookBack; n, seq = n+1, seq-1 {
		hdr, err := s.headerAt(ctx, seq)
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			continue
		}
		if err != nil {
			return publisher.ID{}, err
		}
		text, of := EventID(hdr)
		if of != writer {
			continue
		}
		id, err := publisher.ParseID(text)
		if err != nil {
			return publisher.ID{}, fmt.Errorf("message %d: %w", seq, err)
		}
		return id, nil
	}
	return publisher.ID{}, nil
}

// headerAt returns the headers of the message with sequence seq.
func (s *session) headerAt(ctx context.Context, seq uint64) (nats.Header, error) {
	var resp struct {
		Message struct {
			Header []byte `json:"hdrs"`
		} `json:"message"`
	}
	req := fmt.Appendf(nil, `{"seq":%d}`, seq)
	if err := s.api(ctx, "STREAM.MSG.GET."+s.stream.name, req, &resp); err != nil {
		return nil, err
	}
	if len(resp.Message.Header) == 0 {
		return nil, nil
	}
	return nats.DecodeHeadersMsg(resp.Message.Header)
}

// api calls the JetStream API (https://docs.nats.io/reference/reference-protocols/nats_api_reference).
func (s *session) api(ctx context.Context, call string, req []byte, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, s.p.stall)
	defer cancel()
	msg, err := s.nc.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+call, req)
	if err != nil {
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &failed); err != nil {
		return fmt.Errorf("decode answer to %s: %w", call, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(msg.Data, resp)
}

// pubAck is what JetStream answers to a publish, or to the end of a batch.
type pubAck struct {
	Error *jetstream.APIError `json:"error"`
	Seq   uint64              `json:"seq"`
	// Of a batch: how many of its messages are stored.
	Count uint64 `json:"count"`
	// Of flow control within a batch: "ack", "gap" or "err", and with "ack" how
	// often acknowledgements come. Seq then counts within the batch.
	Type     string `json:"type"`
	Messages int    `json:"msgs"`
}

// parseAck reads an acknowledgement. An error in it becomes err.
func parseAck(m *nats.Msg) (pubAck, error) {
	var ack pubAck
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return ack, nats.ErrNoResponders
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return ack, fmt.Errorf("decode acknowledgement: %w", err)
	}
	if ack.Error != nil {
		return ack, ackError(ack.Error)
	}
	return ack, nil
}

// The server's answers to an expectation that does not hold (server/errors.json).
const (
	codeWrongLastSequence         = 10071
	codeWrongLastSequenceConstant = 10164
	codeWrongLastMsgID            = 10070
)

func ackError(e *jetstream.APIError) error {
	switch e.ErrorCode {
	case codeWrongLastSequence, codeWrongLastSequenceConstant, codeWrongLastMsgID:
		return fmt.Errorf("%w (%s)", errWrongSequence, e.Description)
	}
	return e
}

// newStall returns a timer for awaitAck that is not running.
func newStall() *time.Timer {
	t := time.NewTimer(stallTimeout)
	t.Stop()
	return t
}
