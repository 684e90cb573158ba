package pgfake

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Login lets the client in.
func Login() Step {
	return func(c *Conn) error {
		return c.send(
			&pgproto3.AuthenticationOk{},
			&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"},
			&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
			&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: make([]byte, 4)},
			&pgproto3.ReadyForQuery{TxStatus: 'I'},
		)
	}
}

// AskPassword asks for the password in clear text, ahead of [Login]. Another
// one is refused with 28P01.
func AskPassword(password string) Step {
	return func(c *Conn) error {
		if err := c.backend.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
			return err
		}
		return c.askPassword(&pgproto3.AuthenticationCleartextPassword{}, password)
	}
}

// AskMD5 is AskPassword with a salted digest.
func AskMD5(password string) Step {
	return func(c *Conn) error {
		if err := c.backend.SetAuthType(pgproto3.AuthTypeMD5Password); err != nil {
			return err
		}
		salt := [4]byte{1, 2, 3, 4}
		digest := md5Hex(append([]byte(md5Hex([]byte(password+c.user))), salt[:]...))
		return c.askPassword(&pgproto3.AuthenticationMD5Password{Salt: salt}, "md5"+digest)
	}
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func (c *Conn) askPassword(question pgproto3.BackendMessage, want string) error {
	if err := c.send(question); err != nil {
		return err
	}
	msg, err := c.backend.Receive()
	if err != nil {
		return err
	}
	got, ok := msg.(*pgproto3.PasswordMessage)
	if !ok {
		return fmt.Errorf("asked for the password, got %T", msg)
	}
	if got.Password != want {
		return Refuse("28P01", fmt.Sprintf("password authentication failed for user %q", c.user))(c)
	}
	return nil
}

// Refuse sends a fatal error and ends the connection: in place of [Login], or in
// the middle of a stream.
func Refuse(code, message string) Step {
	return func(c *Conn) error {
		if err := c.send(failure("FATAL", code, message)); err != nil {
			return err
		}
		return errEnd
	}
}

func failure(severity, code, message string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: message}
}
