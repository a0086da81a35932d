package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Scene is a mesh of compose/ as plain processes.
type Scene struct {
	Dir   string           // the nodes' directories; what the scene calls /etc/receptor/certs is certs in it
	Nodes map[string]*Node // by node ID

	t     *testing.T
	name  string
	ports map[string]int   // by HOST:PORT of the scene
	hosts map[string]*Node // by the host names of the scene
	dials map[*Node][]string
}

// Lines of configurations that are other for processes of one machine than for containers. The files are ours, and
// each key has a line of its own.
var (
	idLine       = regexp.MustCompile(`(?m)^    id: (.+)$`)
	addressLine  = regexp.MustCompile(`(?m)^(    address: )([a-z0-9]+)\.example\.internal:(\d+)$`)
	portLine     = regexp.MustCompile(`(?m)^(    port: )(\d+)$`)
	serviceLine  = regexp.MustCompile(`(?m)^    service: control$`)
	filenameLine = regexp.MustCompile(`(?m)^    filename: /tmp/receptor\.sock\n`)
)

// NewScene prepares the nodes of compose/NAME, each with the programs that by gives for its node ID. They have the
// configurations of the scene, but listen on free ports of loopback and have their files below a directory of their own;
// every node with a control service has a socket. The environment is that of all daemons, and so of their commands,
// beside RECEPTORCTL_SOCKET and a PATH with our programs. Nothing is started.
func NewScene(t *testing.T, name string, by func(id string) Programs, env ...string) *Scene {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "compose", name, "conf", "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations of %s: %v", name, err)
	}
	s := &Scene{Dir: Dir(t), Nodes: map[string]*Node{}, hosts: map[string]*Node{}, dials: map[*Node][]string{}, ports: map[string]int{}, name: name, t: t}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text, host := string(data), strings.TrimSuffix(filepath.Base(file), ".yml")
		m := idLine.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("%s names no node", file)
		}
		n := New(t, by(m[1]), s.Dir, m[1], "")
		text = idLine.ReplaceAllString(text, fmt.Sprintf("${0}\n    datadir: %q", filepath.Join(n.Dir, "data")))
		for _, m := range addressLine.FindAllStringSubmatch(text, -1) {
			s.dials[n] = append(s.dials[n], m[2])
		}
		text = s.addresses(text)
		text = portLine.ReplaceAllStringFunc(text, func(line string) string {
			m := portLine.FindStringSubmatch(line)
			return fmt.Sprintf("%s%d\n    bindaddr: 127.0.0.1", m[1], s.port(host, m[2]))
		})
		text = filenameLine.ReplaceAllString(text, "")
		if serviceLine.MatchString(text) {
			text = serviceLine.ReplaceAllString(text, fmt.Sprintf("$0\n    filename: %q", n.Socket))
		} else {
			n.Socket = ""
		}
		text = strings.ReplaceAll(text, "/etc/receptor/certs/", filepath.Join(s.Dir, "certs")+"/")
		text = strings.ReplaceAll(text, "/etc/receptor/receptor.conf", filepath.Join(n.Dir, "receptor.yml"))
		if strings.Contains(text, "example.internal") || strings.Contains(text, "/etc/receptor") {
			t.Fatalf("%s has places that processes do not have:\n%s", file, text)
		}
		n.Config, n.whole = text, true
		n.Env = append([]string{
			"PATH=" + filepath.Dir(n.Ctl) + string(filepath.ListSeparator) + os.Getenv("PATH"),
			"RECEPTORCTL_SOCKET=" + n.Socket,
		}, env...)
		s.Nodes[n.ID], s.hosts[host] = n, n
	}
	return s
}

// port is where a port of the scene is on loopback.
func (s *Scene) port(host, port string) int {
	key := host + ":" + port
	for s.ports[key] == 0 {
		p := FreePort(s.t)
		taken := false
		for _, other := range s.ports {
			taken = taken || other == p
		}
		if !taken {
			s.ports[key] = p
		}
	}
	return s.ports[key]
}

// addresses has peers dial loopback.
func (s *Scene) addresses(text string) string {
	return addressLine.ReplaceAllStringFunc(text, func(line string) string {
		m := addressLine.FindStringSubmatch(line)
		return fmt.Sprintf("%s127.0.0.1:%d", m[1], s.port(m[2], m[3]))
	})
}

// Prepare makes what the nodes of the scene prove themselves with, by its prepare.sh, with programs of ours.
func (s *Scene) Prepare(by Programs) {
	s.t.Helper()
	cmd := exec.Command("sh", filepath.Join("..", "..", "compose", s.name, "prepare.sh"), filepath.Join(s.Dir, "certs"))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(by.Receptor)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("prepare.sh: %v\n%s", err, out)
	}
}

// Read is the text of a file of the scene, with addresses as the nodes have them.
func (s *Scene) Read(file string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "compose", s.name, file))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.addresses(string(data))
}

// Start starts all nodes, each after those that it dials, so that nobody has to dial twice.
func (s *Scene) Start() {
	s.t.Helper()
	for _, n := range s.Nodes {
		s.start(n)
	}
}

func (s *Scene) start(n *Node) {
	s.t.Helper()
	if n.proc != nil {
		return
	}
	for _, host := range s.dials[n] {
		if to := s.hosts[host]; to != nil {
			s.start(to)
		}
	}
	n.Start()
}
