// Package publishertest is the conformance suite of publisher.Deliverer: what
// every destination has to guarantee, asked of a real server. The package of a
// destination runs it in its own tests:
//
//	publishertest.Run(t, func(t *testing.T) publishertest.Harness { ... })
//
// Each guarantee is a subtest with a [Harness] of its own, that is with a topic
// nobody else writes to. The guarantees run one after the other, so a server
// that takes seconds to start can be started once before Run and serve all of
// them: the function then makes a new topic on it, and a guarantee that kills
// or blocks the server has started or unblocked it again when it ends.
//
// What a destination cannot have it declares in [Harness.Lacks] with the reason,
// which the passing test logs. A function that is missing without a reason fails
// the test.
//
// Faults come at random places. The seed is logged; to meet the same places
// again, run the test with -walherald.seed. How long a destination stays blocked
// is -walherald.block.
//
// What is particular to one kind of server (limits, rights, its own ways to
// fail) is tested beside its Deliverer. For those tests there are [Changes] to
// deliver, and what they have in common with the suite: [Deliver], [ExpectOrder]
// and the like.
package publishertest

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/walherald/walherald/publisher"
)

// timeout bounds what a guarantee waits for, beside the time a destination is
// kept blocked.
const timeout = time.Minute

var (
	blockFor = flag.Duration("walherald.block", 2*time.Second, "how long the conformance suite keeps a destination blocked")
	seedFlag = flag.Uint64("walherald.seed", 0, "seed of the conformance suite's faults; 0 means a new one")
)

// Password is the password that [Harness.Denied] uses, so that the suite can
// look for it in errors.
const Password = "publishertest-geheim"

// What a destination can do about a topic that is missing: the values of
// publisher.missingTopic.
const (
	PolicyCreate = "create"
	PolicyWait   = "wait"
	PolicyStop   = "stop"
)

// Harness is a destination that belongs to one guarantee. Its functions may end
// the test with t.Fatal but for Cut, Kill and Restart, which are also called
// beside a delivery and have to use t.Error.
type Harness struct {
	// Topic is where messages go.
	Topic string
	// New makes a Deliverer for the destination. The suite closes it, as all
	// others.
	New func(t *testing.T) publisher.Deliverer
	// Read returns everything the destination holds, in its order; of what it
	// keeps apart (partitions) the order among each other does not matter.
	Read func(t *testing.T) []Stored

	// Cut breaks all connections without a word.
	Cut func()
	// CutAfter breaks all connections once the client has sent another n bytes.
	CutAfter func(n int64)
	// Kill ends the destination's server as a power switch would, Restart
	// starts it again with what it held and returns when it takes connections.
	Kill, Restart func(t *testing.T)

	// Refuse makes the destination refuse some messages, not all, until end is
	// called, so that a delivery fails.
	Refuse func(t *testing.T) (end func())
	// Block makes the destination take nothing, full or blocked as it would be
	// in practice, until end is called.
	Block func(t *testing.T) (end func())
	// Denied makes a Deliverer with credentials the destination refuses; where
	// they hold a password it is Password.
	Denied func(t *testing.T) publisher.Deliverer
	// Missing makes a Deliverer for a topic (exchange, stream) that is not there,
	// with one of the policies.
	Missing func(t *testing.T, policy string) Missing
	// TooLarge is the size of a body, in bytes, that the destination refuses.
	TooLarge int
	// NewSkipping is New with publisher.oversize: skip and the hook for what is
	// skipped.
	NewSkipping func(t *testing.T, skipped func(publisher.Message)) publisher.Deliverer

	// NewContent is New for bodies of another Content. That of New is plain
	// application/json.
	NewContent func(t *testing.T, c publisher.Content) publisher.Deliverer
	// Attributes names those of walherald's attributes that the destination
	// keeps; nil means all. Where they have other names there, Read translates.
	Attributes []string
	// Prefix is what stands before the names of CloudEvents' attributes.
	Prefix string
	// SilentJSON is set if no content type is written for application/json that
	// is not compressed.
	SilentJSON bool

	// Lacks says why the destination cannot have a guarantee, by its name.
	Lacks map[string]string
}

// Missing is a destination whose topic is not there.
type Missing struct {
	Deliverer publisher.Deliverer
	// Topic is where the messages go, Name what an error has to name: what is
	// missing.
	Topic, Name string
	// Create makes what is missing.
	Create func(t *testing.T)
	// Read is that of the Harness, for this topic.
	Read func(t *testing.T) []Stored
}

// Stored is one message as the destination gives it to consumers.
type Stored struct {
	ID   publisher.ID
	Key  []byte // nil where the destination keeps none
	Body []byte
	// Attributes is what stands beside the body. Others than walherald's and
	// CloudEvents' do not matter.
	Attributes map[string]string
	// Type and Encoding are the content type and encoding, wherever the protocol
	// keeps them; empty if it holds none.
	Type, Encoding string
}

// A guarantee is one subtest and the fields of Harness it cannot do without.
type guarantee struct {
	name  string
	needs []string
	test  func(*testing.T, Harness)
}

var guarantees = []guarantee{
	{"DeliveredMeansStored", nil, deliveredMeansStored},
	{"RepeatsCarryEqualIDs", nil, repeatsCarryEqualIDs},
	{"CancelledContextIsNeverADelivery", nil, cancelledIsNoDelivery},
	{"BatchCancelledInTheMiddleGoesOnInOrder", nil, cancelledInTheMiddle},
	{"CloseLeavesNoGoroutine", nil, closeLeavesNothing},
	{"AttributesStandBesideTheBody", []string{"NewContent"}, attributesStandBeside},
	{"TraceStandsBesideTheBody", []string{"NewContent"}, traceStandsBeside},
	{"BatchCutAnywhereLosesNothing", []string{"CutAfter"}, cutAnywhere},
	{"OrderOfAKeyHoldsThroughFaults", []string{"Cut", "Kill", "Restart"}, orderHolds},
	{"BatchKilledInTheMiddleLosesNothing", []string{"Kill", "Restart"}, killedInTheMiddle},
	{"DeliveredOutlivesAKill", []string{"Kill", "Restart"}, deliveredOutlivesKill},
	{"EmptyBatchAsksTheDestination", []string{"Kill", "Restart"}, emptyBatchAsks},
	{"RefusedMessagesAreNotPassed", []string{"Refuse"}, refusedAreNotPassed},
	{"BlockedDestinationIsWaitedFor", []string{"Block"}, blockedIsWaitedFor},
	{"DeniedCredentialsEndTheRetries", []string{"Denied"}, deniedEndsRetries},
	{"MissingTopicIsCreated", []string{"Missing"}, missingIsCreated},
	{"MissingTopicIsWaitedFor", []string{"Missing"}, missingIsWaitedFor},
	{"MissingTopicEndsTheRetries", []string{"Missing"}, missingEndsRetries},
	{"OversizeStopsBehindWhatCameBefore", []string{"TooLarge"}, oversizeStops},
	{"OversizeIsSkippedAlone", []string{"TooLarge", "NewSkipping"}, oversizeIsSkipped},
}

// Run tests all guarantees, each with a Harness of its own.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	for _, g := range guarantees {
		t.Run(g.name, func(t *testing.T) {
			h := start(t)
			h.checkLacks(t)
			if reason := h.Lacks[g.name]; reason != "" {
				t.Logf("not had by this destination: %s", reason)
				return
			}
			h.checkNeeds(t, g.needs)
			g.test(t, h)
		})
	}
}

// checkLacks refuses names that are none of a guarantee.
func (h *Harness) checkLacks(t *testing.T) {
	for name := range h.Lacks {
		if !slices.ContainsFunc(guarantees, func(g guarantee) bool { return g.name == name }) {
			t.Fatalf("Harness.Lacks names %s, which is no guarantee", name)
		}
	}
}

// checkNeeds wants the fields to be there.
func (h *Harness) checkNeeds(t *testing.T, fields []string) {
	has := map[string]bool{
		"Cut": h.Cut != nil, "CutAfter": h.CutAfter != nil, "Kill": h.Kill != nil, "Restart": h.Restart != nil,
		"Refuse": h.Refuse != nil, "Block": h.Block != nil, "Denied": h.Denied != nil, "Missing": h.Missing != nil,
		"TooLarge": h.TooLarge > 0, "NewSkipping": h.NewSkipping != nil, "NewContent": h.NewContent != nil,
	}
	for _, field := range fields {
		if !has[field] {
			t.Fatalf("Harness.%s is missing, and Harness.Lacks gives no reason for %s", field, t.Name())
		}
	}
}

// random makes the test's source of random numbers and logs its seed.
func random(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("run again with -walherald.seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
