package rabbitserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// nodeCommand configures the node on its ports and starts the name server,
// unless it runs: before the node would start one of its own that nobody ends.
func (s *Server) nodeCommand(ctx context.Context) (*exec.Cmd, error) {
	if err := os.WriteFile(s.Path("rabbitmq.conf"), s.configuration(), 0o600); err != nil {
		return nil, fmt.Errorf("write the node's configuration: %w", err)
	}
	if err := os.WriteFile(s.Path("enabled_plugins"), []byte("[]."), 0o600); err != nil {
		return nil, fmt.Errorf("write the node's plugins: %w", err)
	}
	// One that runs on a port of an earlier attempt is replaced.
	if !s.names.Running() || s.knock(s.ports.epmd) != nil {
		if err := s.names.Start(ctx); err != nil {
			return nil, err
		}
	}
	return s.atHome(exec.Command(filepath.Join(s.programs, "rabbitmq-server"))), nil
}

// namesCommand runs the name server in the foreground.
func (s *Server) namesCommand(context.Context) (*exec.Cmd, error) {
	return s.atHome(exec.Command("epmd", "-address", host, "-port", strconv.Itoa(s.ports.epmd))), nil
}

func (s *Server) probeNames(context.Context) error { return s.knock(s.ports.epmd) }

// atHome lets a command run in the node's folder and environment.
func (s *Server) atHome(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir, cmd.Env = s.Path(""), s.environment()
	return cmd
}

// probe logs in and checks that it is this node that answers: on the port
// somebody else may be listening.
func (s *Server) probe(context.Context) error {
	conn, err := amqp.DialConfig("amqp://guest:guest@"+address(s.ports.amqp)+"/", amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return err
	}
	cluster, _ := conn.Properties["cluster_name"].(string)
	if err := conn.Close(); err != nil {
		return err
	}
	if name, _, _ := strings.Cut(cluster, "@"); name != s.name {
		return fmt.Errorf("node %q listens on port %d", cluster, s.ports.amqp)
	}
	return nil
}

// knock tries whether a port of ours takes connections.
func (s *Server) knock(port int) error {
	conn, err := net.DialTimeout("tcp", address(port), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// configuration makes rabbitmq.conf.
func (s *Server) configuration() []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("listeners.tcp.1 = %s", address(s.ports.amqp))
	line("log.console = true")
	line("log.file = false")
	if s.options.MaxMessageSize > 0 {
		line("max_message_size = %d", s.options.MaxMessageSize)
	}
	if o := s.options.TLS; o != nil {
		line("listeners.ssl.1 = %s", address(s.ports.tls))
		line("ssl_options.cacertfile = %s", o.CACert)
		line("ssl_options.certfile = %s", o.Cert)
		line("ssl_options.keyfile = %s", o.Key)
		if o.RequireClientCert {
			line("ssl_options.verify = verify_peer")
			line("ssl_options.fail_if_no_peer_cert = true")
		}
	}
	return []byte(b.String())
}

// environment is what RabbitMQ's scripts go by, and nothing else that could
// steer them.
func (s *Server) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		"HOME=" + s.Path(""), // Erlang's cookie
		"RABBITMQ_NODENAME=" + s.fullName(),
		"RABBITMQ_MNESIA_BASE=" + s.Path("store"),
		"RABBITMQ_LOG_BASE=" + s.Path("logs"),
		"RABBITMQ_CONFIG_FILE=" + s.Path("rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + s.Path("enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(s.ports.distribution),
		"ERL_EPMD_PORT=" + strconv.Itoa(s.ports.epmd),
		"ERL_EPMD_ADDRESS=" + host,
		"ERL_FLAGS=-start_epmd false",
		// The script then becomes the node instead of its parent, who could be
		// killed alone.
		"RABBITMQ_ALLOW_INPUT=1",
		"RABBITMQ_SERVER_START_ARGS=-noinput",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
	}
}

// fullName is the node's full name.
func (s *Server) fullName() string { return s.name + "@localhost" }

// Control runs rabbitmqctl with the arguments, such as "add_user", "anna",
// "secret", and returns what it prints. Without a deadline in ctx it gives up
// after a minute.
func (s *Server) Control(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := child.Bounded(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, "rabbitmqctl"), append([]string{"--quiet"}, args...)...)
	out, err := s.atHome(cmd).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run rabbitmqctl %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// Block raises the memory alarm, in which the node takes nothing from those who
// publish, or ends it.
func (s *Server) Block(ctx context.Context, on bool) error {
	watermark := "0.4" // of the memory, the node's default
	if on {
		watermark = "0"
	}
	_, err := s.Control(ctx, "set_vm_memory_high_watermark", watermark)
	return err
}
