package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// version is what the images are built as.
const version = "v0.0.0-imagetest"

// image is an image that is unpacked.
type image struct {
	root   string
	config config
}

// config is what an image says of itself (OCI image specification, "Image
// Configuration"; Healthcheck is Docker's addition).
type config struct {
	Architecture string
	OS           string
	Config       struct {
		User         string
		Entrypoint   []string
		Cmd          []string
		WorkingDir   string
		ExposedPorts map[string]struct{}
		Labels       map[string]string
		Healthcheck  struct{ Test []string }
	}
}

// build builds the image for a platform and unpacks it.
func build(t *testing.T, platform string) *image {
	t.Helper()
	folder := filepath.Join(openFolder(t), "image")
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "scripts/image.sh"), platform, folder)
	cmd.Env = append(os.Environ(), "VERSION="+version, "REVISION=0123abc")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the image for %s (make deps installs what it takes): %v\n%s", platform, err, out)
	}
	text, err := os.ReadFile(filepath.Join(folder, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Docker config }
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	return &image{root: filepath.Join(folder, "root"), config: said.Docker}
}

// openFolder returns a folder that every user can enter and that goes with the
// test, whoever owns what is in it.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "walherald-image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := asRoot("rm", "-rf", folder).CombinedOutput(); err != nil {
			t.Errorf("remove %s: %v\n%s", folder, err, out)
		}
	})
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// asRoot returns a command that runs as root.
func asRoot(args ...string) *exec.Cmd {
	if os.Getuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	return exec.Command(args[0], args[1:]...)
}

// architectures are those whose images are built. Another one than this machine's has
// everything compiled anew.
var architectures = flag.String("walherald.architectures", runtime.GOARCH, "architectures to build the image for, separated by commas")

func TestImageHoldsOnlyWhatItNeeds(t *testing.T) {
	for architecture := range strings.SplitSeq(*architectures, ",") {
		t.Run(architecture, func(t *testing.T) {
			img := build(t, "linux/"+architecture)
			img.holds(t, "LICENSE", "app/", "data/", "etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca-certificates.crt", "walherald")
			img.trustsAuthorities(t)
			img.isStatic(t, map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[architecture])
			img.saysWhatItIs(t, architecture)
		})
	}
}

// holds compares what is in the image.
func (img *image) holds(t *testing.T, want ...string) {
	t.Helper()
	var have []string
	err := filepath.WalkDir(img.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == img.root {
			return err
		}
		name, err := filepath.Rel(img.root, path)
		if entry.IsDir() {
			name += "/"
		}
		have = append(have, name)
		return err
	})
	if err != nil || !slices.Equal(have, want) {
		t.Errorf("the image holds %q, want %q (%v)", have, want, err)
	}
}

// trustsAuthorities looks for certificates where Go does.
func (img *image) trustsAuthorities(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(img.root, "etc/ssl/certs/ca-certificates.crt"))
	if block, _ := pem.Decode(text); err != nil || block == nil || block.Type != "CERTIFICATE" || bytes.Count(text, []byte("BEGIN CERTIFICATE")) < 50 {
		t.Errorf("the image's certificates are none: %v", err)
	}
}

// isStatic holds the program to need no other file: no loader, no library.
func (img *image) isStatic(t *testing.T, machine elf.Machine) {
	t.Helper()
	program, err := elf.Open(filepath.Join(img.root, "walherald"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	if program.Machine != machine {
		t.Errorf("the program is for %s, want %s", program.Machine, machine)
	}
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is not static: it has %s", part.Type)
		}
	}
}

func (img *image) saysWhatItIs(t *testing.T, architecture string) {
	t.Helper()
	c := img.config
	if c.OS != "linux" || c.Architecture != architecture {
		t.Errorf("the image is for %s/%s", c.OS, c.Architecture)
	}
	if c.Config.User != "65532:65532" {
		t.Errorf("it runs as %q, want one that is nobody by number", c.Config.User)
	}
	for name, want := range map[string]string{"title": "walherald", "version": version, "revision": "0123abc", "licenses": "Apache-2.0"} {
		if got := c.Config.Labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}
	if test := c.Config.Healthcheck.Test; len(test) < 2 || test[0] != "CMD" || !strings.HasSuffix(test[1], "walherald") {
		t.Errorf("the engine asks for health by %q", test)
	}
}
