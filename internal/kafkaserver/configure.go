package kafkaserver

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Options say how a server differs from the usual one. The zero value is useful.
type Options struct {
	// Advertise is host:port at which clients of Addr are told to find the
	// broker: a proxy's address. Empty means Addr itself.
	Advertise string
	// Users are names and passwords, known to SASL PLAIN and both SCRAMs. If
	// there are some, Addr takes no client without.
	Users map[string]string
	// TLS makes Addr speak TLS.
	TLS *TLS
	// Deny refuses all that no ACL allows, but for clients of AdminAddr.
	Deny bool
	// Partitions of topics that are made without saying how many; 0 means 1.
	Partitions int
	// Heap is the most memory Java's heap takes, such as 512m; empty means 256m.
	Heap string
	// Fast lets Java compile as it does in production, which takes longer to
	// start and is several times as fast in the end.
	Fast bool
	// Properties are added to the broker's configuration, over what it has.
	Properties map[string]string
}

// TLS says what a server shows and asks for. The files are PEM.
type TLS struct {
	// Keystore holds the private key (PKCS #8) and then the certificate chain.
	Keystore string
	// ClientCA holds the authorities of client certificates, which are then
	// required; empty means none is asked for.
	ClientCA string
}

// clusterID is the id of every server's cluster: 16 bytes in base64url.
func (s *Server) clusterID() string { return fmt.Sprintf("walherald-%012d", s.ports.controller) }

// configure writes the server's configuration and, once, formats its log folder.
func (s *Server) configure(ctx context.Context) error {
	for name, text := range map[string]string{
		"server.properties": properties(s.properties()),
		"log4j.properties":  log4j,
	} {
		if err := os.WriteFile(s.Path(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("configure Kafka: %w", err)
		}
	}
	if s.formatted {
		return nil
	}
	for _, name := range []string{"tmp", "data"} {
		if err := os.RemoveAll(s.Path(name)); err != nil {
			return fmt.Errorf("configure Kafka: %w", err)
		}
	}
	if err := os.Mkdir(s.Path("tmp"), 0o700); err != nil {
		return fmt.Errorf("configure Kafka: %w", err)
	}
	if err := s.format(ctx); err != nil {
		return err
	}
	s.formatted = true
	return nil
}

// format makes the log folder, with the credentials of SCRAM in it.
func (s *Server) format(ctx context.Context) error {
	args := []string{"kafka.tools.StorageTool", "format", "-t", s.clusterID(), "-c", s.Path("server.properties")}
	for _, name := range slices.Sorted(maps.Keys(s.options.Users)) {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%q,password=%q]", mechanism, name, s.options.Users[name]))
		}
	}
	if out, err := exec.CommandContext(ctx, s.java.program, s.arguments(args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's log folder: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// arguments are those of Java to run a class.
func (s *Server) arguments(class ...string) []string {
	heap := s.options.Heap
	if heap == "" {
		heap = "256m"
	}
	args := []string{
		"-Xmx" + heap, "-Xshare:auto", "-XX:-UsePerfData", "-Djava.awt.headless=true",
		"-Djava.io.tmpdir=" + s.Path("tmp"),
		"-Dlog4j.configuration=file:" + s.Path("log4j.properties"),
		"-cp", s.java.jars,
	}
	if !s.options.Fast {
		args = append(args, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
	}
	return append(args, class...)
}

// properties is the broker's configuration
// (https://kafka.apache.org/documentation/#brokerconfigs).
func (s *Server) properties() map[string]string {
	client, admin := address(s.ports.client), address(s.ports.admin)
	advertise := s.options.Advertise
	if advertise == "" {
		advertise = client
	}
	p := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        "1",
		"controller.quorum.voters":       "1@" + address(s.ports.controller),
		"controller.listener.names":      "CONTROLLER",
		"listeners":                      "CLIENT://" + client + ",ADMIN://" + admin + ",CONTROLLER://" + address(s.ports.controller),
		"advertised.listeners":           "CLIENT://" + advertise + ",ADMIN://" + admin,
		"listener.security.protocol.map": "CLIENT:" + s.protocol() + ",ADMIN:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":     "ADMIN",
		"log.dirs":                       s.Path("data"),
		"num.partitions":                 strconv.Itoa(max(1, s.options.Partitions)),
		"auto.create.topics.enable":      "false",

		"offsets.topic.replication.factor":         "1",
		"offsets.topic.num.partitions":             "1",
		"transaction.state.log.replication.factor": "1",
		"transaction.state.log.min.isr":            "1",
		"group.initial.rebalance.delay.ms":         "0",

		// A server that was killed counts as alive for this long, and its
		// successor waits for it.
		"broker.session.timeout.ms":    "1000",
		"broker.heartbeat.interval.ms": "200",
	}
	s.secure(p)
	maps.Copy(p, s.options.Properties)
	return p
}

// protocol is what the listener of Addr speaks.
func (s *Server) protocol() string {
	protocol := "PLAINTEXT"
	if s.options.TLS != nil {
		protocol = "SSL"
	}
	if len(s.options.Users) > 0 {
		return "SASL_" + protocol
	}
	return protocol
}

// secure adds what TLS, SASL and ACLs need.
func (s *Server) secure(p map[string]string) {
	const listener = "listener.name.client."
	if tls := s.options.TLS; tls != nil {
		p[listener+"ssl.keystore.type"] = "PEM"
		p[listener+"ssl.keystore.location"] = tls.Keystore
		if tls.ClientCA != "" {
			p[listener+"ssl.truststore.type"] = "PEM"
			p[listener+"ssl.truststore.location"] = tls.ClientCA
			p[listener+"ssl.client.auth"] = "required"
		}
	}
	if len(s.options.Users) > 0 {
		p[listener+"sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
		plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
		for name, password := range s.options.Users {
			plain += fmt.Sprintf(" user_%s=%q", name, password)
		}
		p[listener+"plain.sasl.jaas.config"] = plain + ";"
		const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		p[listener+"scram-sha-256.sasl.jaas.config"] = scram
		p[listener+"scram-sha-512.sasl.jaas.config"] = scram
	}
	if s.options.Deny {
		p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
		p["super.users"] = "User:ANONYMOUS"
	}
}

// properties writes what java.util.Properties reads.
func properties(p map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&b, "%s=%s\n", name, strings.ReplaceAll(p[name], `\`, `\\`))
	}
	return b.String()
}

// log4j sends what is worth a look to the log.
const log4j = `log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c: %m%n
`
