package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/walherald/walherald/publisher"
)

// name is the form of names that are shown.
var name = regexp.MustCompile(`^[\pL\pN _.-]{1,80}$`)

// Check asks Slack whether the token is valid, by the method auth.test
// (https://docs.slack.dev/reference/methods/auth.test), which changes nothing, and
// returns whose it is. A webhook can only be asked by sending: who is then empty.
// An error satisfies [publisher.IsPermanent] if Slack refuses.
func (s *Sender) Check(ctx context.Context) (who string, err error) {
	url := s.url.Reveal()
	if !s.method || !strings.HasSuffix(url, "/chat.postMessage") {
		return "", nil
	}
	url = strings.TrimSuffix(url, "chat.postMessage") + "auth.test"
	a, err := s.client.Do(ctx, http.MethodPost, url, s.header, []byte("{}"))
	if err != nil {
		return "", fmt.Errorf("ask slack: %w", err)
	}
	said, ok := reported(a.Body)
	err = a.Err()
	switch {
	case err != nil && said != "":
		return "", fmt.Errorf("slack %w: %s", err, described(said))
	case err != nil:
		return "", fmt.Errorf("slack %w", err)
	case ok == nil:
		return "", errors.New("slack does not answer as its methods do; is url right?")
	case !*ok && passing[said]:
		return "", fmt.Errorf("slack cannot tell now: %s", described(said))
	case !*ok:
		return "", publisher.Permanent(fmt.Errorf("slack refuses the token: %s", described(said)))
	}
	var answer struct{ User string }
	if json.Unmarshal(a.Body, &answer) != nil || !name.MatchString(answer.User) {
		return "a bot", nil
	}
	return answer.User, nil
}
