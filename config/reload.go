package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// reloadable are the keys that can change while walherald runs: what is selected
// and how it is named and written, but neither where it comes from nor where it goes.
// A section stands for all its keys.
var reloadable = []string{
	"listener.filter", "listener.include", "listener.exclude", "listener.skipUnchangedUpdates",
	"listener.topicsMap", "listener.topicTemplate", "listener.fallbackTopic", "listener.discardUnmatched",
	"listener.mask", "listener.maskKey", "listener.values", "listener.maxTransactionSize",
	"publisher.filter", "publisher.topicsMap", "publisher.topicTemplate", "publisher.fallbackTopic", "publisher.discardUnmatched",
	"logger.level", "tags",
}

// Fixed returns the paths of the keys in which next differs from old although they
// cannot be changed while walherald runs, in the order of the schema; none means that
// next can take the place of old.
//
// Rules of the notifier can change as long as they send to the same destinations with
// the same settings, wherever those are written. A destination that is new is named
// by its path in next; one that no rule sends to any more makes notifier.rules fixed.
// Both configurations have to be valid, and neither is changed.
func Fixed(old, next *Config) []string {
	var fixed []string
	a, b := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	for _, path := range differing("", a, b) {
		switch {
		case path == "publishers":
			fixed = append(fixed, fixedPublishers(old.Publishers, next.Publishers)...)
		case path == "notifier.destinations", path == "notifier.rules":
			fixed = append(fixed, fixedDestinations(old.Notifications(), next.Notifications())...)
		case !isReloadable(path):
			fixed = append(fixed, path)
		}
	}
	return unique(fixed)
}

// isReloadable reports whether the key at path, in the notation of the schema, is one
// of reloadable or within one.
func isReloadable(path string) bool {
	return slices.ContainsFunc(reloadable, func(key string) bool {
		return path == key || strings.HasPrefix(path, key+".")
	})
}

// fixedPublishers compares publishers place by place, because the place is their path.
func fixedPublishers(old, next Publishers) []string {
	if len(old) != len(next) {
		return []string{"publishers"}
	}
	var fixed []string
	for i := range next {
		for _, key := range differing("", reflect.ValueOf(old[i]), reflect.ValueOf(next[i])) {
			if !isReloadable(join("publisher", key)) {
				fixed = append(fixed, join(entry("publishers", strconv.Itoa(i)), key))
			}
		}
	}
	return fixed
}

// fixedDestinations compares destinations by their names, which are those of outputs.
func fixedDestinations(old, next []Notification) []string {
	var fixed []string
	for _, n := range next {
		i := slices.IndexFunc(old, func(o Notification) bool { return o.Name == n.Name })
		if i < 0 {
			fixed = append(fixed, n.Section)
			continue
		}
		fixed = append(fixed, differing(n.Section, reflect.ValueOf(old[i].Destination), reflect.ValueOf(n.Destination))...)
	}
	for _, o := range old {
		if !slices.ContainsFunc(next, func(n Notification) bool { return n.Name == o.Name }) {
			fixed = append(fixed, "notifier.rules")
		}
	}
	return fixed
}

// differing returns the paths of the keys in which two values of one section differ.
func differing(path string, a, b reflect.Value) []string {
	var paths []string
	for _, f := range fieldsOf(a.Type()) {
		at, x, y := join(path, f.name), a.Field(f.index), b.Field(f.index)
		switch {
		case x.Kind() == reflect.Struct:
			paths = append(paths, differing(at, x, y)...)
		case !sameValue(x, y):
			paths = append(paths, at)
		}
	}
	return paths
}

// sameValue reports whether two values mean the same: lists and maps without items do,
// whether they are there or not.
func sameValue(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Slice || k == reflect.Map) && a.Len()+b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// unique returns the texts without those that are there before.
func unique(texts []string) []string {
	var out []string
	for _, text := range texts {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
