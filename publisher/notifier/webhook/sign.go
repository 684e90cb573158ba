package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// keys decodes signing secrets: base64, with or without whsec_ in front.
func keys(secrets []config.Secret) ([][]byte, error) {
	all := make([][]byte, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
		if err != nil || len(key) == 0 {
			return nil, fmt.Errorf("signingSecrets[%d]: is no base64; openssl rand -base64 32 makes one", i)
		}
		all[i] = key
	}
	return all, nil
}

// sign sets the headers of Standard Webhooks, section "Webhook headers".
func (s *Sender) sign(h http.Header, id string, body []byte) {
	at := strconv.FormatInt(s.now().Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	h.Del("webhook-signature")
	var signatures []string
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) > 0 {
		h.Set("webhook-signature", strings.Join(signatures, " "))
	}
}

// requestID returns the id of a request: the event's, or of several a UUID of version 8
// (RFC 9562, section 5.8) that is a digest of theirs.
func requestID(ds []notifier.Delivery) string {
	if len(ds) == 1 {
		return ds[0].ID.String()
	}
	digest := sha256.New()
	for i := range ds {
		digest.Write(ds[i].ID[:])
	}
	id := publisher.ID(digest.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}
