package main

import "testing"

func TestPublisherReadsWhatItIsTold(t *testing.T) {
	c := ceiling{client: kafkaClient, address: "127.0.0.1:1", topic: "t_1", subject: "public_events", writer: "w w", body: 5, count: 7}
	got, err := parseCeiling(c.args()[1:])
	if err != nil {
		t.Fatal(err)
	}
	if *got != c {
		t.Errorf("got %+v, want %+v", *got, c)
	}
	if _, err := parseCeiling([]string{"-client", "nobody"}); err == nil {
		t.Error("a client that does not exist is accepted")
	}
}

func TestMessagesAreSpreadOverTheirKeys(t *testing.T) {
	primary, ordering := map[string]bool{}, map[string]bool{}
	for i := range 3 * orderingKeys {
		primary[key(i)], ordering[orderingKey(i)] = true, true
	}
	if len(primary) != 3*orderingKeys || len(ordering) != orderingKeys {
		t.Errorf("%d and %d keys, want %d and %d", len(primary), len(ordering), 3*orderingKeys, orderingKeys)
	}
}
