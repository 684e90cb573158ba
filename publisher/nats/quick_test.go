package nats

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/nats/embedded"
)

func TestQuick(t *testing.T) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, fast := range []bool{true, false} {
		srv, err := embedded.Start(t.Context(), config.Embedded{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), SyncInterval: time.Minute}, log)
		if err != nil {
			t.Fatal(err)
		}
		nc, _ := natsgo.Connect("nats://" + srv.Addr())
		js, _ := jetstream.New(nc)
		if !fast {
			js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "shop", Subjects: []string{"shop.*"}})
		}
		p := New(Config{URLs: []string{"nats://" + srv.Addr()}, Topic: "shop"}, Hooks{}, log)
		body := make([]byte, 316)
		start := time.Now()
		const n, size = 500_000, 4000
		k := uint64(0)
		for k < n {
			batch := make([]publisher.Message, 0, size)
			for range size {
				id, _ := publisher.NewID(k/10, k%10, 7)
				batch = append(batch, publisher.Message{ID: id, Writer: "w1", Topic: "shop.users", Table: "users", Body: body})
				k++
			}
			if err := p.Deliver(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Println("rate", float64(n)/time.Since(start).Seconds())
		st, err := js.Stream(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(st.CachedInfo().State.Msgs, st.CachedInfo().Config.AllowBatchPublish)
		p.Close()
		nc.Close()
		srv.Stop()
	}
}
