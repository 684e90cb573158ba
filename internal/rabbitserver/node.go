package rabbitserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/walherald/walherald/internal/pgserver/child"
)

// errEnded says that a process ended while it was starting.
var errEnded = errors.New("it ended")

// start starts the name server, unless it runs, and the node, and waits until
// the node takes connections.
func (s *Server) start(ctx context.Context) error {
	if err := os.WriteFile(s.path("rabbitmq.conf"), s.configuration(), 0o600); err != nil {
		return fmt.Errorf("write the node's configuration: %w", err)
	}
	if err := os.WriteFile(s.path("enabled_plugins"), []byte("[]."), 0o600); err != nil {
		return fmt.Errorf("write the node's plugins: %w", err)
	}
	if err := s.startNames(ctx); err != nil {
		return err
	}
	var err error
	if s.node, err = s.run(exec.Command(filepath.Join(s.programs, "rabbitmq-server"))); err != nil {
		return err
	}
	if err := await(ctx, s.node, s.probe); err != nil {
		return errors.Join(fmt.Errorf("start RabbitMQ: %w\n%s", err, s.LogTail()), s.node.Kill())
	}
	return nil
}

// startNames starts epmd in the foreground, before the node would start one of
// its own that nobody ends.
func (s *Server) startNames(ctx context.Context) error {
	if s.epmd != nil && s.epmd.Running() {
		if err := s.knock(s.ports.epmd); err == nil {
			return nil
		}
		if err := s.epmd.Kill(); err != nil { // its port was changed
			return err
		}
	}
	var err error
	if s.epmd, err = s.run(exec.Command("epmd", "-address", host, "-port", strconv.Itoa(s.ports.epmd))); err != nil {
		return err
	}
	if err := await(ctx, s.epmd, func() error { return s.knock(s.ports.epmd) }); err != nil {
		return errors.Join(fmt.Errorf("start Erlang's name server: %w\n%s", err, s.LogTail()), s.epmd.Kill())
	}
	return nil
}

// run starts a child that writes to the log.
func (s *Server) run(cmd *exec.Cmd) (*child.Process, error) {
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the node's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd.Dir, cmd.Env = s.folder.Path, s.environment()
	cmd.Stdout, cmd.Stderr = log, log
	return child.Start(cmd, syscall.SIGKILL)
}

// await polls until ready succeeds, the process has ended or ctx ends.
func await(ctx context.Context, p *child.Process, ready func() error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		if !p.Running() {
			return fmt.Errorf("%w: %w", errEnded, p.Wait(ctx))
		}
		select {
		case <-tick.C:
		case <-p.Done():
		case <-ctx.Done():
			return fmt.Errorf("%w; last connection attempt: %w", ctx.Err(), err)
		}
	}
}

// probe logs in and checks that it is this node that answers: on the port
// somebody else may be listening.
func (s *Server) probe() error {
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
		"HOME=" + s.folder.Path, // Erlang's cookie
		"RABBITMQ_NODENAME=" + s.fullName(),
		"RABBITMQ_MNESIA_BASE=" + s.path("store"),
		"RABBITMQ_LOG_BASE=" + s.path("logs"),
		"RABBITMQ_CONFIG_FILE=" + s.path("rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + s.path("enabled_plugins"),
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
	ctx, cancel := bounded(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, "rabbitmqctl"), append([]string{"--quiet"}, args...)...)
	s.mu.Lock()
	cmd.Dir, cmd.Env = s.folder.Path, s.environment()
	s.mu.Unlock()
	out, err := cmd.CombinedOutput()
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
