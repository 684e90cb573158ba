package pgfake

import (
	"encoding/binary"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/listener/pgoutput"
)

// XLogData frames one message of the output plugin; at is the position it tells
// of, and the end of the server's log.
func XLogData(at pgoutput.LSN, message []byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte{pgoutput.TagXLogData}, uint64(at))
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	return append(binary.BigEndian.AppendUint64(b, 0), message...)
}

// Keepalive tells how far the server's log reaches; with reply it asks for a
// status update.
func Keepalive(end pgoutput.LSN, reply bool) []byte {
	b := binary.BigEndian.AppendUint64([]byte{pgoutput.TagKeepalive}, uint64(end))
	b = binary.BigEndian.AppendUint64(b, 0)
	if reply {
		return append(b, 1)
	}
	return append(b, 0)
}

// position reads a big-endian LSN.
func position(b []byte) pgoutput.LSN { return pgoutput.LSN(binary.BigEndian.Uint64(b)) }

// Send sends frames, each in a CopyData message of its own.
func Send(frames ...[]byte) Step {
	return func(c *Conn) error {
		messages := make([]pgproto3.BackendMessage, len(frames))
		for i, f := range frames {
			messages[i] = &pgproto3.CopyData{Data: f}
		}
		return c.send(messages...)
	}
}

// SendHalf sends a CopyData message up to the middle of its frame.
func SendHalf(frame []byte) Step {
	return func(c *Conn) error {
		message, err := (&pgproto3.CopyData{Data: frame}).Encode(nil)
		if err != nil {
			return err
		}
		return SendRaw(message[:5+len(frame)/2])(c)
	}
}

// SendRaw sends bytes that need not be a message at all.
func SendRaw(b []byte) Step {
	return func(c *Conn) error { return c.write(b) }
}

// Say sends messages of the protocol that are no frames.
func Say(messages ...pgproto3.BackendMessage) Step {
	return func(c *Conn) error { return c.send(messages...) }
}

// AwaitFlush waits until the client has told lsn, or more, as flushed.
func AwaitFlush(lsn pgoutput.LSN) Step {
	return func(c *Conn) error { return c.awaitFlush(lsn) }
}

// AwaitStatuses waits until n status updates have come since something was last
// sent or a step last waited for them, whatever they tell.
func AwaitStatuses(n int) Step {
	return func(c *Conn) error { return c.awaitStatuses(n) }
}

// Hang says nothing more and waits until the client leaves.
func Hang() Step {
	return func(c *Conn) error {
		c.awaitLeave()
		return errEnd
	}
}

// Reset ends the connection with RST, as by a host that lost its state: what was
// sent may not be read any more. A script that just ends closes with FIN.
func Reset() Step {
	return func(c *Conn) error {
		if tcp, ok := c.socket.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.socket.Close()
		return errEnd
	}
}
