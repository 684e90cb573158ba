package child

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// The ports that FreePort picks from.
const (
	minPort = 15000
	maxPort = 32000
)

// FreePort picks a TCP port of 127.0.0.1 that nobody listens on now. A caller
// that loses the race for it has to pick again.
//
// It is below the range that the kernel takes the ports of outgoing connections
// from (32768 and up on Linux). In that range a server that is down for a
// moment can lose its port to any connection, even to a client that tries to
// reach it: a dial whose own port happens to be the server's connects to itself.
func FreePort() (int, error) {
	for range 100 {
		port := minPort + rand.IntN(maxPort-minPort)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("pick a free port: %w", err)
		}
		return port, nil
	}
	return 0, errors.New("pick a free port: 100 ports of 127.0.0.1 were all taken or forbidden")
}

// FreePorts picks n different ports as [FreePort] does.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for len(ports) < n {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}
