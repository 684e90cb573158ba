package kafka

import (
	"encoding/hex"
	"testing"

	"github.com/segmentio/kafka-go"
)

// What org.apache.kafka.common.utils.Utils.murmur2 of kafka-clients 3.9.1 returns
// for some bytes, and the partition of 12 that the client chooses by it.
var javaHashes = []struct {
	key       string // hexadecimal
	hash      int32
	partition int
}{
	{"", 275646681, 9},
	{"61", -1563381124, 4},
	{"6162", 316155434, 2},
	{"616263", 479470107, 3},
	{"61626364", -1323649548, 8},
	{"6162636465", 461995741, 1},
	{"3231", -973932308, 0},
	{"666f6f626172", -790332482, 6},
	{"612d6c6974746c652d6269742d6c6f6e672d737472696e67", -985981536, 8},
	{"612d6c6974746c652d6269742d6c6f6e6765722d737472696e67", -1486304829, 11},
	{"6b65792dc3a9e4b8ad", 700782258, 6},
	{"5b312c2278225d", -1265596137, 11},
	{"7b226964223a34327d", 486015037, 1},
	{"73", -342070737, 11},
	{"d89cb819", -834727757, 3},
	{"6f0efb6892f94d", 1346108118, 6},
	{"fccc2c35f0b84609e5f1", -756347196, 8},
	{"dd85aba8d5d9bef76808f3b572", -1599865135, 1},
	{"12b81927ba5bb5f67e1bda28b4049bf0", -1026596776, 4},
	{"e4aed78db15d7bf2fc0c34e9a99de4ef3bc2b1", -2037458771, 9},
	{"8137ad659878f9e93df1f658367aca286452474b9ef3", -569173321, 7},
	{"24e9a88173724dddfb04b01dcceb0c8aead641c58dad569581", -2024714426, 6},
	{"7c10d40a47902028e61cfdc243d9d16008aabc9fb77cc723a56017e1", -1924398761, 3},
	{"4f1ce8b1698341734a6823ce02043e016b544901214a2ddab82fec85c0b9fe", -1861171878, 2},
	{"49c475be5b887bb4b8995b24fb5c6846f88b527b4f9d4c1391f1678b23ba4f9c9cd7", -1498689766, 10},
}

func TestKeysGoWhereTheJavaClientPutsThem(t *testing.T) {
	for _, java := range javaHashes {
		key, err := hex.DecodeString(java.key)
		if err != nil {
			t.Fatal(err)
		}
		if got := int32(murmur2(key)); got != java.hash {
			t.Errorf("murmur2(%s) is %d, want %d", java.key, got, java.hash)
		}
		if got := partitionOf(key, 12); got != java.partition {
			t.Errorf("partition of %s is %d, want %d", java.key, got, java.partition)
		}
	}
}

func FuzzMurmur2(f *testing.F) {
	f.Add([]byte("key"), 3)
	balancer := kafka.Murmur2Balancer{Consistent: true}
	f.Fuzz(func(t *testing.T, key []byte, n int) {
		n = 1 + int(uint(n)%50)
		if len(key) == 0 {
			return // which the balancer treats apart
		}
		partitions := make([]int, n)
		for i := range partitions {
			partitions[i] = i
		}
		if got, want := partitionOf(key, n), balancer.Balance(kafka.Message{Key: key}, partitions...); got != want {
			t.Errorf("partition of %x in %d is %d, and %d by kafka-go", key, n, got, want)
		}
	})
}
