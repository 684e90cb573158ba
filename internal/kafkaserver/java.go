package kafkaserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is the version of Apache Kafka that Start starts.
const Version = "3.9.1"

// java is what runs a server.
type java struct {
	program string
	jars    string // class path
}

// findJava looks for Java and for Kafka's jars: in the folder that
// WALHERALD_KAFKA_LIB names, or else where scripts/deps.sh puts them.
func findJava() (java, error) {
	program, err := exec.LookPath("java")
	if err != nil {
		return java{}, errors.New("start Kafka: there is no Java: run make deps, or install a Java 17 runtime")
	}
	var folders []string
	if set := os.Getenv("WALHERALD_KAFKA_LIB"); set != "" {
		folders = []string{set}
	} else {
		folders = append(folders, cached("/var/cache"))
		if own, err := os.UserCacheDir(); err == nil {
			folders = append(folders, cached(own))
		}
	}
	for _, folder := range folders {
		if found, _ := filepath.Glob(filepath.Join(folder, "kafka_*.jar")); len(found) > 0 {
			return java{program: program, jars: filepath.Join(folder, "*")}, nil
		}
	}
	return java{}, fmt.Errorf("start Kafka: there are no jars of it in %v: run make deps, or set WALHERALD_KAFKA_LIB to the folder of Kafka's jars", folders)
}

func cached(cache string) string { return filepath.Join(cache, "walherald", "kafka-"+Version, "lib") }
