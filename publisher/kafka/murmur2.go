package kafka

// murmur2 is the hash by which Kafka's own Java client chooses a key's partition
// (org.apache.kafka.common.utils.Utils.murmur2), so that what other producers
// write under the same key stands in the same partition.
func murmur2[T ~[]byte | ~string](data T) uint32 {
	const (
		m    = 0x5bd1e995
		seed = 0x9747b28c
	)
	h := seed ^ uint32(len(data))
	i := 0
	for ; i+4 <= len(data); i += 4 {
		k := uint32(data[i]) | uint32(data[i+1])<<8 | uint32(data[i+2])<<16 | uint32(data[i+3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
	}
	if rest := len(data) - i; rest > 0 {
		for j := rest - 1; j >= 0; j-- {
			h ^= uint32(data[i+j]) << (8 * j)
		}
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// partitionOf chooses one of n partitions for a key, or for what stands in its
// place.
func partitionOf[T ~[]byte | ~string](key T, n int) int {
	return int(murmur2(key)&0x7fffffff) % n
}
