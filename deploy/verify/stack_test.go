package verify

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/internal/service"
	"github.com/walherald/walherald/publisher"
)

// deadline bounds what a test waits for.
const deadline = 60 * time.Second

// stackConfig loads the configuration as the container does, with the environment that
// the stack gives it.
func stackConfig(t *testing.T) *config.Config {
	t.Helper()
	p := stack(t)
	for name, value := range p.Services["walherald"].Environment {
		t.Setenv(name, *value)
	}
	cfg, err := config.Load(mounted(t, p, "walherald", "/app/config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestConfigurationOfTheStackFitsItsServices(t *testing.T) {
	cfg, p := stackConfig(t), stack(t)
	if w := cfg.Warnings(); len(w) > 0 {
		t.Errorf("it has warnings: %v", w)
	}
	hosts := []string{cfg.Database.Host}
	for _, out := range cfg.Outputs() {
		for _, address := range out.Address {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			hosts = append(hosts, u.Hostname())
		}
	}
	for _, host := range hosts {
		if _, there := p.Services[host]; !there {
			t.Errorf("%s is no service of the stack", host)
		}
	}
	_, port, err := net.SplitHostPort(cfg.Monitoring.Address)
	if err != nil || port != strconv.Itoa(int(p.Services["walherald"].Ports[0].Target)) {
		t.Errorf("the page is served at %s, and port %v is published: %v", cfg.Monitoring.Address, p.Services["walherald"].Ports, err)
	}
	if grace := time.Duration(*p.Services["walherald"].StopGracePeriod); grace <= cfg.Listener.DrainTimeout {
		t.Errorf("a stop is given %v, and drainTimeout is %v", grace, cfg.Listener.DrainTimeout)
	}
	if len(cfg.Monitoring.Token.Reveal()) < 16 {
		t.Error("the token of the example is too short")
	}
}

// scrapeConfig is what counts of prometheus.yml; any other key is an error.
type scrapeConfig struct {
	Global struct {
		ScrapeInterval     time.Duration `yaml:"scrape_interval"`
		EvaluationInterval time.Duration `yaml:"evaluation_interval"`
	}
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string                       `yaml:"job_name"`
		StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func TestPrometheusOfTheStackScrapesWalheraldAndReadsTheAlerts(t *testing.T) {
	p := stack(t)
	var scrapes scrapeConfig
	strictYAML(t, mounted(t, p, "prometheus", "/etc/prometheus/prometheus.yml"), &scrapes)
	_, port, err := net.SplitHostPort(stackConfig(t).Monitoring.PromAddr)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, job := range scrapes.ScrapeConfigs {
		for _, static := range job.StaticConfigs {
			found = found || job.JobName == "walherald" && slices.Contains(static.Targets, "walherald:"+port)
		}
	}
	if !found {
		t.Errorf("walherald:%s is not scraped as job walherald: %+v", port, scrapes.ScrapeConfigs)
	}
	same, err := filepath.Abs(alertsFile)
	if err != nil || len(scrapes.RuleFiles) != 1 || mounted(t, p, "prometheus", scrapes.RuleFiles[0]) != same {
		t.Errorf("the rules are read from %v: %v", scrapes.RuleFiles, err)
	}
}

// startNATS runs the server that nats.conf describes, on a free port.
func startNATS(t *testing.T, p *types.Project) *server.Server {
	t.Helper()
	for name, value := range p.Services["nats"].Environment {
		t.Setenv(name, *value)
	}
	opts, err := server.ProcessConfigFile(mounted(t, p, "nats", "/etc/nats/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if opts.StoreDir != "/data" || opts.HTTPPort != 8222 || !opts.JetStream {
		t.Errorf("store %s, HTTP port %d, JetStream %v", opts.StoreDir, opts.HTTPPort, opts.JetStream)
	}
	opts.StoreDir, opts.Host, opts.Port, opts.HTTPPort, opts.NoSigs, opts.NoLog = t.TempDir(), "127.0.0.1", server.RANDOM_PORT, 0, true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(deadline) {
		t.Fatal("NATS does not start")
	}
	return s
}

// startPostgres runs a server as the stack does and gives it the files of init.
func startPostgres(t *testing.T, p *types.Project) (*pgserver.Server, *pgx.Conn) {
	t.Helper()
	settings := make(map[string]string)
	for _, word := range p.Services["postgres"].Command {
		if name, value, ok := strings.Cut(word, "="); ok {
			settings[name] = value
		}
	}
	pg := pgserver.ForTest(t, pgserver.Options{Settings: settings})
	const database = "shop"
	if err := pg.CreateDatabase(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	psql, err := pg.Bin("psql")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(mounted(t, p, "postgres", "/docker-entrypoint-initdb.d/*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no SQL to run: %v", err)
	}
	for _, file := range files { // in the order of their names, as the image does
		cmd := exec.CommandContext(t.Context(), psql, "-X", "-v", "ON_ERROR_STOP=1", "-d", pg.DSN(database), "-f", file)
		cmd.Env = append(os.Environ(), "WALHERALD_PASSWORD="+*p.Services["postgres"].Environment["WALHERALD_PASSWORD"])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", filepath.Base(file), err, out)
		}
	}
	conn, err := pgx.Connect(t.Context(), pg.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return pg, conn
}

// The servers are real, and where their addresses are others than in the stack, the
// variables say so.
func TestStackDeliversAChangeWithTheRightsItsRoleHas(t *testing.T) {
	p := stack(t)
	pg, conn := startPostgres(t, p)
	broker := startNATS(t, p)
	t.Setenv("WAL_DATABASE_HOST", pg.Host())
	t.Setenv("WAL_DATABASE_PORT", strconv.Itoa(pg.Port()))
	t.Setenv("WAL_PUBLISHER_ADDRESS", broker.ClientURL())
	t.Setenv("WAL_LISTENER_SERVERPORT", "0")
	t.Setenv("WAL_MONITORING_PROMADDR", "127.0.0.1:0")
	t.Setenv("WAL_MONITORING_ADDRESS", "127.0.0.1:0")
	cfg := stackConfig(t)
	for _, f := range service.Check(t.Context(), cfg) {
		// That the log is bounded is what the stack means.
		if f.Severity != config.FindingOK && !strings.HasPrefix(f.What, "max_slot_wal_keep_size is 4GB") {
			t.Errorf("walherald check: %s: %s", f.Path, f.What)
		}
	}

	got := received(t, broker)
	confirmed := serve(t, cfg)
	awaitReader(t, conn)
	if _, err := conn.Exec(t.Context(), "INSERT INTO users (name) VALUES ('Anna')"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []<-chan string{confirmed, got} {
		select {
		case subject := <-c:
			if subject != "shop.public_users" {
				t.Errorf("the change arrives as %s", subject)
			}
		case <-time.After(deadline):
			t.Fatal("the change does not arrive")
		}
	}
	mayNot(t, pg, cfg)
}

// received tells of the subjects of what the broker gives to a subscriber.
func received(t *testing.T, broker *server.Server) <-chan string {
	t.Helper()
	env := exampleEnv(t)
	nc, err := nats.Connect(broker.ClientURL(), nats.UserInfo("walherald", env["NATS_PASSWORD"]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	subjects := make(chan string, 1)
	if _, err := nc.Subscribe("shop.>", func(m *nats.Msg) { subjects <- m.Subject }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return subjects
}

// serve runs the service until the test ends, and tells of the topics of what is
// confirmed.
func serve(t *testing.T, cfg *config.Config) <-chan string {
	t.Helper()
	topics, ended := make(chan string, 1), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- service.Run(ctx, cfg, service.Options{Log: slog.New(slog.DiscardHandler), Observe: func(batch []publisher.Message, _ time.Time) {
			topics <- batch[0].Topic
		}})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("walherald ended with %v", err)
		}
	})
	return topics
}

// awaitReader waits until the slot is read: changes before it was made are nobody's.
func awaitReader(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for active := false; !active; {
		err := conn.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_replication_slots WHERE slot_name = 'walherald' AND active").Scan(&active)
		if err = errors.Join(err, publisher.Sleep(ctx, 10*time.Millisecond)); err != nil {
			t.Fatalf("the slot is not read: %v", err)
		}
	}
}

// mayNot holds that the role can read no table and make nothing outside its schema.
func mayNot(t *testing.T, pg *pgserver.Server, cfg *config.Config) {
	t.Helper()
	dsn, err := pgx.ParseConfig(pg.DSN(cfg.Database.Name))
	if err != nil {
		t.Fatal(err)
	}
	dsn.User, dsn.Password = cfg.Database.User, cfg.Database.Password.Reveal()
	conn, err := pgx.ConnectConfig(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, sql := range []string{
		"SELECT * FROM users", "INSERT INTO users (name) VALUES ('Eve')", "CREATE TABLE public.mine (id int)",
		"CREATE ROLE other", "DROP PUBLICATION walherald", "CREATE SCHEMA other",
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("the role may %s", sql)
		}
	}
}
