// Package verify holds the files of deploy to the code they are about: that the
// alerts and the dashboard ask for metrics that exist, that the alerts fire when
// they should and only then, and that the stack and the manifests are valid.
//
// It is a module of its own, so that what it takes to read those files (Prometheus,
// Compose, Kubernetes) is nothing the product depends on. Nothing imports it.
package verify
