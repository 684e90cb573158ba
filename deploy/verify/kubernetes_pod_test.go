package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/walherald/walherald/config"
)

func TestProbesAskThePortOfTheConfiguration(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		_, c := pod(t, m)
		cfg := loadConfig(t, m)
		probes := map[string]struct {
			probe *corev1.Probe
			path  string
		}{
			"startup":   {c.StartupProbe, "/healthz"},
			"liveness":  {c.LivenessProbe, "/healthz"},
			"readiness": {c.ReadinessProbe, "/ready?standby=ok"},
		}
		for name, p := range probes {
			if p.probe == nil || p.probe.HTTPGet == nil {
				t.Fatalf("no %s probe", name)
			}
			if p.probe.HTTPGet.Path != p.path {
				t.Errorf("%s probe asks %s, want %s", name, p.probe.HTTPGet.Path, p.path)
			}
			if got := port(t, c, p.probe.HTTPGet.Port.StrVal); got != cfg.Listener.ServerPort {
				t.Errorf("%s probe asks port %d, where listener.serverPort is %d", name, got, cfg.Listener.ServerPort)
			}
		}
	})
}

// afterDrain is what the end of the process can take beside the drain: the last
// position (1 s), requests for metrics (5 s), reports to Sentry (2 s).
const afterDrain = 8 * time.Second

func TestGracePeriodIsLongerThanTheDrain(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		grace := time.Duration(gracePeriod(t, m)) * time.Second
		if drain := loadConfig(t, m).Listener.DrainTimeout; grace < drain+afterDrain {
			t.Errorf("the pod is killed after %v, and drains for %v", grace, drain)
		}
	})
}

func TestGracePeriodIsTheDrainRoundedUpAndTheMargin(t *testing.T) {
	for drain, want := range map[string]int64{"10s": 30, "1500ms": 22, "1ms": 21, "45s": 65, "2m": 140, "1h30m0.5s": 5421} {
		t.Run(drain, func(t *testing.T) {
			m := mustRenderValues(t, with(t, "minimal", fmt.Sprintf("{config: {listener: {drainTimeout: %s}}}", drain)))
			if got := gracePeriod(t, m); got != want {
				t.Errorf("%d s, want %d s", got, want)
			}
		})
	}
}

func gracePeriod(t *testing.T, m manifests) int64 {
	t.Helper()
	template, _ := pod(t, m)
	return *template.Spec.TerminationGracePeriodSeconds
}

// podSpecs are those of the Deployment and of the test.
func podSpecs(m manifests) []corev1.PodSpec {
	var specs []corev1.PodSpec
	for _, d := range all[*appsv1.Deployment](m) {
		specs = append(specs, d.Spec.Template.Spec)
	}
	for _, p := range all[*corev1.Pod](m) {
		specs = append(specs, p.Spec)
	}
	return specs
}

func TestNothingRunsAsRootOrWithRights(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		for _, spec := range podSpecs(m) {
			p, c := spec.SecurityContext, spec.Containers[0].SecurityContext
			if p == nil || c == nil {
				t.Fatal("no security context")
			}
			if p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.RunAsUser == nil || *p.RunAsUser != 65532 || *p.RunAsGroup != 65532 {
				t.Errorf("the pod runs as %+v", p)
			}
			if p.SeccompProfile == nil || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Error("no seccomp profile")
			}
			if c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem {
				t.Error("the root filesystem can be written to")
			}
			if c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation {
				t.Error("privileges can grow")
			}
			if c.Capabilities == nil || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(c.Capabilities.Add) != 0 {
				t.Errorf("capabilities: %+v", c.Capabilities)
			}
			if spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Error("the pod shares something with its node")
			}
			if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
				t.Error("the pod has a token for the API")
			}
			if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
				t.Error("a Service named wal-database would set the database's port")
			}
		}
		for _, account := range all[*corev1.ServiceAccount](m) {
			if account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
				t.Error("the service account mounts its token")
			}
		}
	})
}

// The process needs 75 MB beside its window, and 128 MiB more for a server inside.
func TestMemoryLimitHoldsTheWindow(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		_, c := pod(t, m)
		cfg := loadConfig(t, m)
		need := int64(cfg.Listener.Window) + 75_000_000
		if slices.ContainsFunc(cfg.Outputs(), func(o config.Output) bool { return o.Embedded != nil }) {
			need += 128 << 20
		}
		if len(cfg.Notifier.Rules) > 0 {
			need += int64(cfg.Notifier.Window)
		}
		limit := c.Resources.Limits.Memory().Value()
		if limit < need {
			t.Errorf("memory limit %d, needed %d", limit, need)
		}
		if requested := c.Resources.Requests.Memory().Value(); requested == 0 || requested > limit {
			t.Errorf("memory request %d of %d", requested, limit)
		}
	})
}

func TestEveryMountHasItsVolume(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		for _, spec := range podSpecs(m) {
			for _, mount := range spec.Containers[0].VolumeMounts {
				if !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
					t.Errorf("%s is mounted and is no volume", mount.Name)
				}
			}
			if !slices.Contains(spec.Containers[0].Args, "--config=/etc/walherald/config.yml") {
				t.Errorf("arguments: %v", spec.Containers[0].Args)
			}
		}
	})
}

func TestRolloutKeepsEveryPodThatWorksUntilAnotherWaits(t *testing.T) {
	for _, name := range []string{"minimal", "everything", "plain"} {
		s := one[*appsv1.Deployment](t, mustRender(t, name)).Spec.Strategy
		if s.RollingUpdate == nil || *s.RollingUpdate.MaxUnavailable != intstr.FromInt32(0) || *s.RollingUpdate.MaxSurge != intstr.FromInt32(1) {
			t.Errorf("%s: strategy %+v", name, s)
		}
	}
}

func TestVolumeIsFreeBeforeTheNextPodTakesIt(t *testing.T) {
	m := mustRender(t, "single")
	d := one[*appsv1.Deployment](t, m)
	if d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *d.Spec.Replicas != 1 {
		t.Errorf("%d pods, strategy %s", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
	if claim := one[*corev1.PersistentVolumeClaim](t, m); claim.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the data ends with the release")
	}
	if len(all[*policyv1.PodDisruptionBudget](m)) != 0 {
		t.Error("a budget for a single pod keeps its node from being drained")
	}
}

func TestSelectorsFindThePodsAndNotTheTest(t *testing.T) {
	eachCase(t, func(t *testing.T, m manifests) {
		d := one[*appsv1.Deployment](t, m)
		selectors := map[string]*metav1.LabelSelector{"Deployment": d.Spec.Selector}
		for i, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
			selectors[fmt.Sprintf("spread %d", i)] = spread.LabelSelector
		}
		for _, budget := range all[*policyv1.PodDisruptionBudget](m) {
			selectors["PodDisruptionBudget"] = budget.Spec.Selector
		}
		for _, service := range all[*corev1.Service](m) {
			selectors["Service"] = metav1.SetAsLabelSelector(service.Spec.Selector)
		}
		for name, selector := range selectors {
			if !selects(t, selector, d.Spec.Template.Labels) {
				t.Errorf("%s does not select the pods", name)
			}
			for _, test := range all[*corev1.Pod](m) {
				if selects(t, selector, test.Labels) {
					t.Errorf("%s selects the test's pod", name)
				}
			}
		}
		for _, policy := range all[*networkingv1.NetworkPolicy](m) {
			if !selects(t, &policy.Spec.PodSelector, d.Spec.Template.Labels) {
				t.Error("NetworkPolicy does not select the pods")
			}
		}
		for _, monitor := range all[*serviceMonitor](m) {
			if !selects(t, &monitor.Spec.Selector, one[*corev1.Service](t, m).Labels) {
				t.Error("ServiceMonitor does not select the Service")
			}
		}
	})
}

func selects(t *testing.T, selector *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(of))
}

func TestPodsAreSpreadButNeverKeptFromRunning(t *testing.T) {
	template, _ := pod(t, mustRender(t, "minimal"))
	var keys []string
	for _, spread := range template.Spec.TopologySpreadConstraints {
		keys = append(keys, spread.TopologyKey)
		if spread.WhenUnsatisfiable != corev1.ScheduleAnyway {
			t.Errorf("%s: %s", spread.TopologyKey, spread.WhenUnsatisfiable)
		}
	}
	if got := strings.Join(keys, " "); got != "kubernetes.io/hostname topology.kubernetes.io/zone" {
		t.Errorf("spread over %s", got)
	}
}

func TestBudgetLeavesOnePodAndDoesNotHoldADrainForSickOnes(t *testing.T) {
	budget := one[*policyv1.PodDisruptionBudget](t, mustRender(t, "minimal")).Spec
	if *budget.MinAvailable != intstr.FromInt32(1) || *budget.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
		t.Errorf("budget: %+v", budget)
	}
}

func TestPodsThatAreNotReadyAreStillMeasured(t *testing.T) {
	service := one[*corev1.Service](t, mustRender(t, "minimal")).Spec
	if service.ClusterIP != corev1.ClusterIPNone || !service.PublishNotReadyAddresses {
		t.Errorf("service: %+v", service)
	}
}

func TestChangeOfConfigurationOrSecretMakesNewPods(t *testing.T) {
	annotations := func(text string) map[string]string {
		template, _ := pod(t, mustRenderValues(t, with(t, "everything", text)))
		return template.Annotations
	}
	before := annotations(`{}`)
	if got := annotations(`{config: {listener: {slotName: other}}}`); got["checksum/config"] == before["checksum/config"] {
		t.Error("another configuration leaves the pods as they are")
	}
	if got := annotations(`{secret: {values: {NATS_TOKEN: other}}}`); got["checksum/secret"] == before["checksum/secret"] {
		t.Error("another secret leaves the pods as they are")
	}
	if got := annotations(`{serviceMonitor: {enabled: false}}`); got["checksum/config"] != before["checksum/config"] {
		t.Error("what is no configuration makes new pods")
	}
}
