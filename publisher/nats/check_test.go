package nats

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/natsserver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher/publishertest"
)

// checkURL checks topic cdc on a server and wants a remedy for whatever is wrong.
func checkURL(t *testing.T, url string, subjects ...string) []config.Finding {
	t.Helper()
	return checkConfig(t, Config{URLs: []string{url}, Topic: "cdc"}, subjects...)
}

func checkConfig(t *testing.T, cfg Config, subjects ...string) []config.Finding {
	t.Helper()
	found := Check(t.Context(), cfg, subjects...)
	for _, f := range found {
		if f.Severity != config.FindingOK && f.Remedy == "" {
			t.Errorf("no remedy for: %+v", f)
		}
	}
	return found
}

// worst returns the worst severity found.
func worst(found []config.Finding) config.Severity {
	s := config.FindingOK
	for _, f := range found {
		s = max(s, f.Severity)
	}
	return s
}

func TestCheckFindsNothingWrongWithAServerThatIsReady(t *testing.T) {
	srv := natsserver.InProcess(t)
	found := checkURL(t, srv.ClientURL())
	if worst(found) != config.FindingOK {
		t.Errorf("found %+v", found)
	}
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.address", "NATS "+server.VERSION, srv.Addr().String())
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.address", "JetStream is enabled")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "stream cdc", "would be created for cdc.>")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "fast ingest")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.oversize", "1MiB", "max_payload", "stop walherald")
}

func TestCheckLeavesNothingBehind(t *testing.T) {
	srv := natsserver.InProcess(t)
	running := goleak.IgnoreCurrent()
	checkURL(t, srv.ClientURL())
	if account := srv.GlobalAccount(); account.NumLocalConnections() != 0 {
		// The server notices the end of a connection a moment after it.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for account.NumLocalConnections() != 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("the connection is still there")
			}
		}
	}
	goleak.VerifyNone(t, running)
	info, err := srv.Jsz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if info.Streams != 0 {
		t.Errorf("%d streams are left behind", info.Streams)
	}
}

func TestCheckTellsHowMessagesWillBeWritten(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	cfg := jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.>"}, MaxMsgSize: 4096}
	makeStream(t, url, cfg)
	found := checkConfig(t, Config{URLs: []string{url}, Topic: "cdc", SkipOversize: true})
	if worst(found) != config.FindingOK {
		t.Errorf("found %+v", found)
	}
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "stream cdc exists", "cdc.>")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "message ids", "allow_batched")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.oversize", "4KiB", "max_msg_size", "dropped")

	// The advice can be followed.
	cfg.AllowBatchPublish = true
	makeStream(t, url, cfg)
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingOK, "publisher.topic", "fast ingest")
}

func TestCheckJudgesWhetherTheStreamTakesTheSubjects(t *testing.T) {
	for name, test := range map[string]struct {
		takes     []string
		published []string // none means cdc.*
		want      config.Severity
		words     []string
	}{
		"all of the topic":           {[]string{"cdc.>"}, []string{"cdc.*", "cdc.a.b"}, config.FindingOK, []string{"every subject"}},
		"everything there is":        {[]string{">"}, nil, config.FindingOK, []string{"every subject"}},
		"one token, as published":    {[]string{"cdc.*"}, nil, config.FindingOK, []string{"without a dot"}},
		"two kinds, as published":    {[]string{"cdc.*", "cdc.a.*"}, []string{"cdc.*", "cdc.a.*"}, config.FindingOK, []string{"without a dot"}},
		"one token, two published":   {[]string{"cdc.*"}, []string{"cdc.*", "cdc.audit.log"}, config.FindingWarning, []string{"cdc.audit.log", "--subjects 'cdc.>'"}},
		"some tables":                {[]string{"cdc.public_users"}, nil, config.FindingWarning, []string{"cdc.*", "stop walherald"}},
		"one token, all have two":    {[]string{"cdc.*"}, []string{"cdc.prefix.*"}, config.FindingError, []string{"nothing of cdc.prefix.*", "--subjects 'cdc.>'"}},
		"another topic":              {[]string{"orders.>"}, nil, config.FindingError, []string{"nothing of cdc.*", "nats stream edit cdc"}},
		"the bare topic":             {[]string{"cdc"}, nil, config.FindingError, []string{"nothing of cdc.*"}},
		"more tokens than published": {[]string{"cdc.*.>"}, nil, config.FindingError, []string{"nothing of cdc.*"}},
	} {
		t.Run(name, func(t *testing.T) {
			url := natsserver.InProcess(t).ClientURL()
			cfg := jetstream.StreamConfig{Name: "cdc", Subjects: test.takes}
			cfg.NoAck = slices.Contains(test.takes, ">") // which the server asks for: its own answers would be taken, too
			makeStream(t, url, cfg)
			publishertest.ExpectFinding(t, checkURL(t, url, test.published...), test.want, "publisher.topic", test.words...)
		})
	}
}

func TestCheckFindsTheStreamOfTheTopicUnderAnotherName(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	makeStream(t, url, jetstream.StreamConfig{Name: "CHANGES", Subjects: []string{"cdc.>"}})
	found := checkURL(t, url)
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "stream CHANGES exists")
	publishertest.ExpectFinding(t, found, config.FindingOK, "publisher.topic", "stream CHANGES takes every subject")
}

func TestCheckRefusesAStreamThatNeverAcknowledges(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	makeStream(t, url, jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.>"}, NoAck: true})
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingError, "publisher.topic", "stream cdc does not acknowledge", "--ack")
}

func TestCheckRefusesAStreamThatIsSealed(t *testing.T) {
	url := natsserver.InProcess(t).ClientURL()
	cfg := jetstream.StreamConfig{Name: "cdc", Subjects: []string{"cdc.>"}}
	makeStream(t, url, cfg)
	cfg.Sealed = true
	makeStream(t, url, cfg)
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingError, "publisher.topic", "stream cdc is sealed")
}

func TestCheckNamesJetStreamThatIsOff(t *testing.T) {
	url := natsserver.InProcess(t, func(o *server.Options) { o.JetStream = false }).ClientURL()
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingError, "publisher.address", "JetStream turned off", "-js")
}

func TestCheckNamesAccountWithoutJetStream(t *testing.T) {
	url := natsserver.InProcess(t, func(o *server.Options) {
		plain := server.NewAccount("plain")
		o.Accounts = []*server.Account{plain}
		o.Users = []*server.User{{Username: "u", Password: "p", Account: plain}}
	}).ClientURL()
	url = strings.Replace(url, "nats://", "nats://u:p@", 1)
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingError, "publisher.address", "not enabled for this account", "enable JetStream for the account")
}

func TestCheckNamesTheRightThatIsMissing(t *testing.T) {
	url := natsserver.InProcess(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"cdc.>"}},
		}}}
	}).ClientURL()
	url = strings.Replace(url, "nats://", "nats://u:p@", 1)
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingError, "publisher.address", "$JS.API.STREAM.INFO.cdc", "let the user publish to $JS.API.>")
}

func TestCheckNeverShowsThePassword(t *testing.T) {
	srv := natsserver.InProcess(t, func(o *server.Options) { o.Username, o.Password = "u", "right" })
	address := srv.Addr().String()
	if found := checkURL(t, "nats://u:right@"+address); worst(found) != config.FindingOK || strings.Contains(fmt.Sprintf("%+v", found), "right") {
		t.Errorf("found %+v", found)
	}
	token := natsserver.InProcess(t, func(o *server.Options) { o.Authorization = "geheim" })
	if found := checkURL(t, "nats://geheim@"+token.Addr().String()); worst(found) != config.FindingOK || strings.Contains(fmt.Sprintf("%+v", found), "geheim") {
		t.Errorf("found %+v", found)
	}
	for url, words := range map[string][]string{
		"nats://u:geheim@" + address:    {address, "Authorization Violation", "correct the user and password"},
		"u:x@geheim@" + address:         {address, "Authorization Violation"},
		"nats://geheim@" + address:      {address, "Authorization Violation"},
		"nats://u:geheim%zz@" + address: {"no URL"},
		"nats://u:geheim/x@" + address:  {"no URL"},
	} {
		found := checkURL(t, url)
		publishertest.ExpectFinding(t, found, config.FindingError, "publisher.address", words...)
		if text := fmt.Sprintf("%+v", found); strings.Contains(text, "geheim") {
			t.Errorf("the password is shown: %s", text)
		}
	}
}

func TestCheckNamesServerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found := checkURL(t, "nats://"+address)
	if len(found) != 1 {
		t.Errorf("found %+v without a connection", found)
	}
	publishertest.ExpectFinding(t, found, config.FindingError, "publisher.address", address, "start nats-server there")
}

func TestCheckTellsWhatIsWrongWithTLS(t *testing.T) {
	cert, _ := testcert.New(t).Issue("nats")
	srv := natsserver.InProcess(t, func(o *server.Options) {
		o.TLSConfig, o.TLSTimeout = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, 10
	})
	url := "nats://" + srv.Addr().String()
	// The client speaks TLS by itself where the server demands it.
	publishertest.ExpectFinding(t, checkURL(t, url), config.FindingError, "publisher.caCert", "unknown authority", "publisher.enableTLS: true")
	secure := Config{URLs: []string{url}, Topic: "cdc", Options: []natsgo.Option{natsgo.Secure(&tls.Config{MinVersion: tls.VersionTLS12})}}
	secure.URLs = []string{natsserver.InProcess(t).ClientURL()}
	publishertest.ExpectFinding(t, checkConfig(t, secure), config.FindingError, "publisher.enableTLS", "turn TLS on in the server")
}

func TestFastIngestIsExpectedFromItsFirstVersionOn(t *testing.T) {
	for version, want := range map[string]bool{
		"2.9.25": false, "2.13.9": false, "2.14.0": true, "2.14.0-RC.1": true, "2.15.2": true, "3.0.0": true, "": false, "dev": false,
	} {
		if hasFastIngest(version) != want {
			t.Errorf("version %q: %v, want %v", version, !want, want)
		}
	}
}
