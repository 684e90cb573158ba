package kafka

import (
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/kafkaserver"
)

func TestCheckTellsWhatAnOperatorWouldWantToKnow(t *testing.T) {
	s := kafkaserver.ForTest(t, kafkaserver.Options{})
	makeTopic(t, s.AdminAddr(), "cdc.a", 2)
	makeTopic(t, s.AdminAddr(), "cdc.b", 1, "cleanup.policy", "compact", "unclean.leader.election.enable", "true")
	cfg := Config{Addresses: []string{s.Addr()}}
	found := Check(t.Context(), cfg, "cdc.*", "cdc.none")
	finding(t, found, config.FindingOK, "a cluster of 1 brokers")
	finding(t, found, config.FindingOK, "topic cdc.a has 2 partitions")
	finding(t, found, config.FindingWarning, "topic cdc.a has one replica")
	finding(t, found, config.FindingWarning, "topic cdc.b is compacted")
	finding(t, found, config.FindingWarning, "topic cdc.b lets a replica lead")
	finding(t, found, config.FindingWarning, "topic cdc.none is not there")
	cfg.MissingTopic = MissingCreate
	finding(t, Check(t.Context(), cfg, "cdc.none"), config.FindingOK, "would be created")
	client := asks(t, s.AdminAddr())
	defer client.Close()
	if n := len(ends(t, client, "cdc.none")); n != 0 {
		t.Error("Check has created a topic")
	}
}

func TestCheckTellsOfAnAddressThatBrokersDoNotHave(t *testing.T) {
	finding(t, Check(t.Context(), Config{Addresses: []string{"127.0.0.1:1"}}), config.FindingError, "cannot use Kafka")
	for _, address := range []string{"kafka://u:geheim@host", "host"} {
		f := finding(t, Check(t.Context(), Config{Addresses: []string{address}}), config.FindingError, "host:port")
		if f.Path != "publisher.address" {
			t.Errorf("got %+v", f)
		}
	}
	s := kafkaserver.ForTest(t, kafkaserver.Options{Advertise: "127.0.0.1:1"})
	finding(t, Check(t.Context(), Config{Addresses: []string{s.Addr()}}), config.FindingError, "clients reach it at 127.0.0.1:1")
}
