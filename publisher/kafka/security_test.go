package kafka

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/kafkaserver"
	"github.com/walherald/walherald/internal/testcert"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/publishertest"
)

const testPassword = "geheim"

// allow lets a user do something to a topic.
func allow(t *testing.T, addr, user, topic string, operations ...kmsg.ACLOperation) {
	t.Helper()
	client := asks(t, addr)
	defer client.Close()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, operation := range operations {
		acl := kmsg.NewCreateACLsRequestCreation()
		acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral
		acl.Principal, acl.Host, acl.Operation, acl.PermissionType = "User:"+user, "*", operation, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, acl)
	}
	answer, err := req.RequestWith(bounded(t), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range answer.Results {
		if r.ErrorCode != 0 {
			t.Fatalf("allow %s something: code %d", user, r.ErrorCode)
		}
	}
}

func TestEncryptedAndAuthenticatedConnections(t *testing.T) {
	ca := testcert.New(t)
	_, keystore := ca.Issue("broker")
	const user = "herald"
	s := kafkaserver.ForTest(t, kafkaserver.Options{
		Users: map[string]string{user: testPassword}, TLS: &kafkaserver.TLS{Keystore: keystore}, Deny: true,
	})
	for _, topic := range []string{"open", "shut", "seen"} {
		makeTopic(t, s.AdminAddr(), topic, 1)
	}
	allow(t, s.AdminAddr(), user, "open", kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe, kmsg.ACLOperationRead)
	allow(t, s.AdminAddr(), user, "seen", kmsg.ACLOperationDescribe)
	secured := func(mechanism string) Config {
		return Config{
			Addresses: []string{s.Addr()}, TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
			SASL: mechanism, User: user, Password: testPassword,
		}
	}
	n := 0
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			publishertest.Deliver(t, open(t, secured(mechanism), Hooks{}), publishertest.Changes("open", n, 10))
			n += 10
			expect(t, stored(t, s.AdminAddr(), "open"), n, 0)
			cfg := secured(mechanism)
			cfg.Password = "ganz-falsch"
			err := open(t, cfg, Hooks{}).Deliver(bounded(t), nil)
			if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), "publisher.password") || strings.Contains(err.Error(), string(cfg.Password)) {
				t.Errorf("a wrong password: %v, want a permanent error that names the key and not the password", err)
			}
		})
	}
	t.Run("UnknownMechanismIsNamed", func(t *testing.T) {
		err := open(t, secured("gssapi"), Hooks{}).Deliver(bounded(t), nil)
		if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), "publisher.kafka.sasl") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("MissingRightEndsTheRetries", func(t *testing.T) {
		for _, topic := range []string{"shut", "seen"} {
			err := open(t, secured("plain"), Hooks{}).Deliver(bounded(t), publishertest.Changes(topic, 0, 1))
			if !publisher.IsPermanent(err) || !strings.Contains(err.Error(), "kafka-acls.sh") {
				t.Errorf("topic %s: %v, want a permanent error that says which right is missing", topic, err)
			}
		}
	})
	t.Run("CheckTellsOfRights", func(t *testing.T) {
		found := Check(t.Context(), secured("plain"), "open", "seen")
		finding(t, found, config.FindingOK, "producer id")
		finding(t, found, config.FindingError, "may not write to topic seen")
		finding(t, found, config.FindingOK, "topic open has 1 partitions")
	})
	t.Run("CheckTellsOfCredentials", func(t *testing.T) {
		cfg := secured("plain")
		cfg.Password = "ganz-falsch"
		f := finding(t, Check(t.Context(), cfg), config.FindingError, "")
		if f.Path != "publisher.user" || strings.Contains(fmt.Sprint(f), "ganz-falsch") {
			t.Errorf("got %+v", f)
		}
	})
	t.Run("CheckTellsOfTheAuthority", func(t *testing.T) {
		cfg := secured("plain")
		cfg.TLS = &tls.Config{RootCAs: testcert.New(t).Pool(), MinVersion: tls.VersionTLS12}
		if f := finding(t, Check(t.Context(), cfg), config.FindingError, ""); f.Path != "publisher.caCert" {
			t.Errorf("got %+v", f)
		}
		if err := open(t, cfg, Hooks{}).Deliver(bounded(t), nil); err == nil {
			t.Error("a broker of an unknown authority was believed")
		}
	})
}

func TestClientCertificatesAreShown(t *testing.T) {
	ca := testcert.New(t)
	_, keystore := ca.Issue("broker")
	pair, _ := ca.Issue("herald")
	s := kafkaserver.ForTest(t, kafkaserver.Options{TLS: &kafkaserver.TLS{Keystore: keystore, ClientCA: ca.File()}})
	makeTopic(t, s.AdminAddr(), "t", 1)
	cfg := Config{Addresses: []string{s.Addr()}, TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}}
	if err := open(t, cfg, Hooks{}).Deliver(bounded(t), nil); err == nil {
		t.Error("the broker let in who shows no certificate")
	}
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.Certificates = []tls.Certificate{pair}
	publishertest.Deliver(t, open(t, cfg, Hooks{}), publishertest.Changes("t", 0, 10))
	expect(t, stored(t, s.AdminAddr(), "t"), 10, 0)
}

// finding returns the first finding of a severity that says what.
func finding(t *testing.T, found []config.Finding, severity config.Severity, what string) config.Finding {
	t.Helper()
	for _, f := range found {
		if f.Severity == severity && strings.Contains(f.What, what) {
			return f
		}
	}
	t.Errorf("no finding of severity %v says %q: %+v", severity, what, found)
	return config.Finding{}
}

func TestNoErrorShowsASecret(t *testing.T) {
	for _, cfg := range []Config{
		{Addresses: []string{"kafka://herald:" + testPassword + "@127.0.0.1:9092"}},
		{Addresses: []string{"herald:" + testPassword + "@127.0.0.1"}},
		{Addresses: []string{"127.0.0.1:1"}, SASL: "plain", User: "herald", Password: testPassword},
		{Addresses: []string{"127.0.0.1:1"}, SASL: "scram-sha-256", User: "herald", Password: testPassword + "\x00"},
	} {
		err := open(t, cfg, Hooks{}).Deliver(bounded(t), nil)
		if err == nil || strings.Contains(err.Error(), testPassword) {
			t.Errorf("the error is %v", err)
		}
		if found := fmt.Sprintf("%+v", Check(t.Context(), cfg)); strings.Contains(found, testPassword) {
			t.Errorf("Check found %s", found)
		}
	}
}

func TestEveryCompressionIsTaken(t *testing.T) {
	s := kafkaserver.ForTest(t, kafkaserver.Options{})
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		makeTopic(t, s.AdminAddr(), compression, 2)
		publishertest.Deliver(t, open(t, Config{Addresses: []string{s.Addr()}, Compression: compression}, Hooks{}), publishertest.Changes(compression, 0, 10_000))
		expect(t, stored(t, s.AdminAddr(), compression), 10_000, 0)
	}
}
