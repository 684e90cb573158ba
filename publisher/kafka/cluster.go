package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
)

// metadataAge is how old what is known of the cluster gets. A change that
// matters is noticed at once, by a refusal; this is for those that refuse
// nothing, such as more partitions.
const metadataAge = 5 * time.Minute

// cluster is the brokers and the connections to them. It is used by one
// goroutine.
type cluster struct {
	addresses []string // to begin with
	security  security
	timeout   time.Duration // of an answer

	brokers    map[int32]string // host:port by node id
	controller int32
	conns      map[string]*conn // by host:port
}

func newCluster(addresses []string, sec security) *cluster {
	return &cluster{
		addresses: addresses, security: sec, timeout: answerTimeout,
		brokers: make(map[int32]string), conns: make(map[string]*conn),
	}
}

// close ends all connections.
func (c *cluster) close() {
	for _, conn := range c.conns {
		conn.close()
	}
	clear(c.conns)
}

// connect returns the living connection to addr, or a new one.
func (c *cluster) connect(ctx context.Context, addr string) (*conn, error) {
	if conn := c.conns[addr]; conn != nil && !conn.broken {
		return conn, nil
	}
	delete(c.conns, addr)
	conn, err := dial(ctx, addr, c.security, c.timeout)
	if err != nil {
		return nil, err
	}
	c.conns[addr] = conn
	return conn, nil
}

// errNoBroker says that a partition's leader is not known.
var errNoBroker = errors.New("no broker leads the partition at the moment")

// node returns a connection to the broker with this id.
func (c *cluster) node(ctx context.Context, id int32) (*conn, error) {
	addr, ok := c.brokers[id]
	if !ok {
		return nil, errNoBroker
	}
	return c.connect(ctx, addr)
}

// any returns a connection to some broker: one that lives, or else the first
// that answers.
func (c *cluster) any(ctx context.Context) (*conn, error) {
	for _, conn := range c.conns {
		if !conn.broken {
			return conn, nil
		}
	}
	var failed error
	for _, addr := range c.candidates() {
		conn, err := c.connect(ctx, addr)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil || publisher.IsPermanent(err) {
			return nil, err
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// candidates are the addresses of all brokers, each once.
func (c *cluster) candidates() []string {
	all := slices.Clone(c.addresses)
	for _, addr := range c.brokers {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// askAny sends a request to some broker. A connection that a broker has closed
// since it was used last is found out here: another one is tried at once.
func askAny[R any](ctx context.Context, c *cluster, ask func(*conn) (R, error)) (R, error) {
	for attempt := 0; ; attempt++ {
		var none R
		conn, err := c.any(ctx)
		if err != nil {
			return none, err
		}
		answer, err := ask(conn)
		if err == nil || !conn.broken || ctx.Err() != nil || attempt == len(c.conns) {
			return answer, err
		}
	}
}

// metadata asks for the brokers and for topics; nil means all topics.
func (c *cluster) metadata(ctx context.Context, topics []string) (*metadata.Response, error) {
	answer, err := askAny(ctx, c, func(conn *conn) (*metadata.Response, error) {
		return roundTrip[*metadata.Response](ctx, conn, &metadata.Request{TopicNames: topics})
	})
	if err != nil {
		return nil, fmt.Errorf("find the brokers and topics: %w", err)
	}
	if len(answer.Brokers) == 0 {
		return nil, errors.New("find the brokers and topics: the cluster has no broker that is ready")
	}
	clear(c.brokers)
	for _, b := range answer.Brokers {
		c.brokers[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	c.controller = answer.ControllerID
	return answer, nil
}

// checkAddresses refuses what is no host:port, without showing it: it may be a
// URL with a password.
func checkAddresses(addresses []string) error {
	if len(addresses) == 0 {
		return publisher.Permanent(errors.New("publisher.address: there is no address: list the brokers as host:port"))
	}
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, "@/") {
			return publisher.Permanent(fmt.Errorf(
				"publisher.address: %v: write brokers as host:port; user and password belong into publisher.user and publisher.password",
				config.Addresses{a}))
		}
	}
	return nil
}

// moved reports an error that says to look for the partition's leader again.
func moved(err error) bool {
	return oneOf(err, kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.UnknownTopicOrPartition,
		kafka.BrokerNotAvailable, kafka.ReplicaNotAvailable, kafka.NetworkException, kafka.KafkaStorageError,
		kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch, kafka.UnknownTopicID) || errors.Is(err, errNoBroker)
}

func oneOf(err error, codes ...kafka.Error) bool {
	var code kafka.Error
	return errors.As(err, &code) && slices.Contains(codes, code)
}
