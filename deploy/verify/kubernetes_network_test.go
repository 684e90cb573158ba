package verify

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

func tcpPorts(t *testing.T, ports []networkingv1.NetworkPolicyPort) []int {
	t.Helper()
	var numbers []int
	for _, p := range ports {
		if p.Protocol == nil || p.Port == nil {
			t.Fatalf("a port without protocol or number: %+v", p)
		}
		if *p.Protocol == corev1.ProtocolTCP {
			numbers = append(numbers, p.Port.IntValue())
		}
	}
	return numbers
}

func TestNetworkPolicyLetsThroughWhatTheConfigurationNames(t *testing.T) {
	tests := map[string][]int{
		"minimal":         {53, 5432, 4222},
		"existing-secret": {53, 5432, 443},
		"single":          {53, 5432},
		"plain":           {53, 5432, 4222},
		// Two of NATS, one of them left out; Kafka; RabbitMQ with TLS; Slack and the
		// like; the webhook; traces; extraPorts; extraEgress.
		"everything": {53, 6432, 4223, 4222, 9093, 5671, 443, 8088, 4318, 8443, 80},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			policy := one[*networkingv1.NetworkPolicy](t, mustRender(t, name)).Spec
			got := make(map[int]bool)
			for _, rule := range policy.Egress {
				for _, p := range tcpPorts(t, rule.Ports) {
					got[p] = true
				}
				if len(rule.Ports) == 0 {
					t.Error("a rule without ports lets everything through")
				}
			}
			slices.Sort(want)
			if ports := slices.Sorted(maps.Keys(got)); !slices.Equal(ports, want) {
				t.Errorf("ports %v, want %v", ports, want)
			}
			if !slices.Equal(policy.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}) {
				t.Errorf("the policy is about %v", policy.PolicyTypes)
			}
		})
	}
}

func TestPortsOfAddressesAreThoseThatTheirSchemesMean(t *testing.T) {
	for values, want := range map[string]int{
		`{type: nats, address: [tls://nats]}`:                                                                 4222,
		`{type: nats, address: "nats://u:${env:P}@[::1]:4333"}`:                                               4333,
		`{type: nats, address: ["wss://nats/path"]}`:                                                          443,
		`{type: kafka, address: [kafka]}`:                                                                     9092,
		`{type: rabbitmq, address: ["amqp://rabbitmq/shop"]}`:                                                 5672,
		`{type: rabbitmq, address: ["amqps://rabbitmq/shop"]}`:                                                5671,
		`{type: rabbitmq, enable_tls: true, address: "${env:RABBITMQ_URL}"}`:                                  5671,
		`{type: google_pubsub, address: null, pubsub: {endpoint: "europe-west1-pubsub.googleapis.com:8443"}}`: 8443,
		`{Type: Kafka, Address: ["kafka:9099"], type: null, address: null}`:                                   9099,
	} {
		policy := one[*networkingv1.NetworkPolicy](t, mustRenderValues(t, with(t, "minimal", "{config: {publisher: "+values+"}}"))).Spec
		if got := tcpPorts(t, policy.Egress[2].Ports); !slices.Equal(got, []int{want}) {
			t.Errorf("%s: %v, want %d", values, got, want)
		}
	}
}

func TestOnlyProbesMetricsAndClientsComeIn(t *testing.T) {
	for name, want := range map[string][]int{
		"minimal":    {8080, 2112},
		"single":     {8080, 2112, 4222},
		"everything": {9080, 9112},
	} {
		m := mustRender(t, name)
		_, c := pod(t, m)
		policy := one[*networkingv1.NetworkPolicy](t, m).Spec
		var got []int
		for _, rule := range policy.Ingress {
			got = append(got, tcpPorts(t, rule.Ports)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v come in, want %v", name, got, want)
		}
		if len(c.Ports) != len(want) {
			t.Errorf("%s: the container has the ports %+v, and %v come in", name, c.Ports, want)
		}
	}
	rules := one[*networkingv1.NetworkPolicy](t, mustRender(t, "everything")).Spec.Ingress
	if len(rules[0].From) != 0 || len(rules[1].From) != 1 {
		t.Errorf("probes from %v, metrics from %v", rules[0].From, rules[1].From)
	}
}
