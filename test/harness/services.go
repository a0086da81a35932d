package harness

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Pair starts two nodes with a TCP link between them: b listens.
func Pair(t *testing.T, aBy, bBy Programs, aConfig, bConfig string) (a, b *Node) {
	t.Helper()
	dir := Dir(t)
	port := FreePort(t)
	b = New(t, bBy, dir, "b", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n%s", port, bConfig))
	a = New(t, aBy, dir, "a", fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n%s", port, aConfig))
	b.Start()
	a.Start()
	a.Reach(b)
	b.Reach(a)
	return a, b
}

// HashServer answers, on each TCP connection, the length and the data that
// follow with their hash. It ends with the test.
func HashServer(t *testing.T) net.Addr {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveHashes(t, ln)
}

func serveHashes(t *testing.T, ln net.Listener) net.Addr {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * Patience))
				var n uint64
				h := sha256.New()
				if binary.Read(c, binary.BigEndian, &n) == nil {
					if _, err := io.CopyN(h, c, int64(n)); err == nil {
						c.Write(h.Sum(nil))
					}
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); running.Wait() })
	return ln.Addr()
}

// Upload sends that many random bytes to a HashServer over a connection, which
// it closes, and compares the answer. The connection's direction does not end
// before the answer is there: the proxies of ansible/receptor would lose it.
func Upload(c net.Conn, size int64, seed byte) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * Patience))
	if err := binary.Write(c, binary.BigEndian, size); err != nil {
		return err
	}
	h := sha256.New()
	data := io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
	if n, err := io.CopyBuffer(c, io.TeeReader(data, h), make([]byte, 256<<10)); err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, size, err)
	}
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, h.Sum(nil)) {
		err = fmt.Errorf("%d bytes arrived as others, hash %x", size, got)
	}
	return err
}

// TCPProxy carries one upload of so many bytes, then many at once, through a
// TCP proxy over three nodes.
func TCPProxy(t *testing.T, inBy, relayBy, outBy Programs, size int64, conns int) {
	dir := Dir(t)
	port, in := FreePort(t), FreePort(t)
	peer := fmt.Sprintf("- tcp-peer: {address: \"127.0.0.1:%d\"}\n", port)
	target := HashServer(t)
	relay := New(t, relayBy, dir, "relay", fmt.Sprintf("- tcp-listener: {bindaddr: 127.0.0.1, port: %d}\n", port))
	a := New(t, inBy, dir, "a", peer+fmt.Sprintf("- tcp-server: {bindaddr: 127.0.0.1, port: %d, remotenode: b, remoteservice: hash}\n", in))
	b := New(t, outBy, dir, "b", peer+fmt.Sprintf("- tcp-client: {service: hash, address: %q}\n", target))
	for _, n := range []*Node{relay, a, b} {
		n.Start()
	}
	a.Reach(b)
	b.Reach(a)
	upload := func(size int64, seed byte) error {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", in))
		if err != nil {
			return err
		}
		return Upload(c, size, seed)
	}
	start := time.Now()
	if err := upload(size, 1); err != nil {
		t.Fatalf("%d bytes: %v", size, err)
	}
	t.Logf("%d MiB in %v", size>>20, time.Since(start).Round(time.Millisecond))
	start = time.Now()
	errs := make(chan error, conns)
	for i := range conns {
		go func() { errs <- upload(64<<10+int64(i), byte(i)) }() // ends with the connection
	}
	failed := 0
	for range conns {
		if err := <-errs; err != nil {
			if failed++; failed < 5 {
				t.Error(err)
			}
		}
	}
	t.Logf("%d connections in %v, %d failed", conns, time.Since(start).Round(time.Millisecond), failed)
}

// UDPProxy sends datagrams of several clients through a UDP proxy.
func UDPProxy(t *testing.T, inBy, outBy Programs, sizes ...int) {
	target, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer target.Close()
	running.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := target.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			h := sha256.Sum256(b[:n])
			copy(b, h[:min(n, len(h))]) // the same size, and something to show that it was here
			target.WriteToUDPAddrPort(b[:n], from)
		}
	})
	in := FreeUDPPort(t)
	outConfig := fmt.Sprintf("- udp-client: {service: dgram, address: %q}\n", target.LocalAddr())
	inConfig := fmt.Sprintf("- udp-server: {bindaddr: 127.0.0.1, port: %d, remotenode: b, remoteservice: dgram}\n", in)
	Pair(t, inBy, outBy, inConfig, outConfig)
	var clients sync.WaitGroup
	for i := range 10 {
		clients.Go(func() {
			for _, size := range sizes {
				data := make([]byte, size)
				rand.NewChaCha8([32]byte{byte(i)}).Read(data)
				h := sha256.Sum256(data)
				want := append(h[:min(size, len(h)):min(size, len(h))], data[min(size, len(h)):]...)
				if got, err := ask(fmt.Sprintf("127.0.0.1:%d", in), data); err != nil || !bytes.Equal(got, want) {
					t.Errorf("datagram of %d bytes: got %d, %v", size, len(got), err)
				}
			}
		})
	}
	clients.Wait()
}

// ask sends a datagram from a new socket until an answer comes.
func ask(to string, datagram []byte) ([]byte, error) {
	c, err := net.Dial("udp", to)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b := make([]byte, 1<<16)
	for end := time.Now().Add(Patience); time.Now().Before(end); {
		if _, err := c.Write(datagram); err != nil {
			return nil, err
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(b); err == nil {
			return b[:n], nil
		}
	}
	return nil, fmt.Errorf("no answer")
}

// FreeUDPPort is a UDP port on loopback that nobody listens on.
func FreeUDPPort(t *testing.T) int {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// UnixProxy carries uploads from one Unix socket to another.
func UnixProxy(t *testing.T, inBy, outBy Programs) {
	dir := Dir(t)
	in, out := filepath.Join(dir, "in.sock"), filepath.Join(dir, "out.sock")
	ln, err := net.Listen("unix", out)
	if err != nil {
		t.Fatal(err)
	}
	serveHashes(t, ln)
	inConfig := fmt.Sprintf("- unix-socket-server: {filename: %q, permissions: 0640, remotenode: b, remoteservice: unix}\n", in)
	outConfig := fmt.Sprintf("- unix-socket-client: {service: unix, filename: %q}\n", out)
	Pair(t, inBy, outBy, inConfig, outConfig)
	if info, err := os.Stat(in); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode of the socket: %v, %v", info, err)
	}
	for i := range 5 {
		c, err := net.Dial("unix", in)
		if err != nil {
			t.Fatal(err)
		}
		if err := Upload(c, 1<<20, byte(i)); err != nil {
			t.Error(err)
		}
	}
}

// Command runs a shell on a terminal, through a TCP way in, and has it exit.
func Command(t *testing.T, inBy, outBy Programs) {
	open, _ := shell(t, inBy, outBy)
	c := open()
	defer c.Close()
	io.WriteString(c, "PS1=; tty; seq 20000 | tail -n 1; exit\n")
	got, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(got), "/dev/pts/") || !strings.HasSuffix(string(got), "20000\r\n") {
		t.Errorf("got %q, %v", got, err)
	}
}

// CommandEnds holds that a command ends with its client, whether that closes its
// connection or breaks it. ansible/receptor does not end commands in the latter
// case, so it cannot be the way out.
func CommandEnds(t *testing.T, inBy, outBy Programs) {
	open, b := shell(t, inBy, outBy)
	for _, linger := range []int{-1, 0} {
		c := open()
		io.WriteString(c, "sleep 1000\n")
		b.Eventually("run the command", func() bool { return len(b.Helpers()) == 2 })
		c.(*net.TCPConn).SetLinger(linger)
		c.Close()
		b.Eventually("end the command", func() bool { return len(b.Helpers()) == 0 })
	}
}

// shell is a command service at b; open connects to it and waits until it reads.
func shell(t *testing.T, inBy, outBy Programs) (open func() net.Conn, b *Node) {
	t.Helper()
	in := FreePort(t)
	inConfig := fmt.Sprintf("- tcp-server: {bindaddr: 127.0.0.1, port: %d, remotenode: b, remoteservice: sh}\n", in)
	outConfig := "- command-service: {service: sh, command: \"sh -c 'stty -echo; echo ready; exec sh'\"}\n"
	_, b = Pair(t, inBy, outBy, inConfig, outConfig)
	open = func() net.Conn {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", in))
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(Patience))
		var got strings.Builder
		for buf := make([]byte, 1); !strings.Contains(got.String(), "ready\r\n"); {
			if _, err := c.Read(buf); err != nil {
				t.Fatalf("after %q: %v", &got, err)
			}
			got.Write(buf)
		}
		return c
	}
	return open, b
}

// Nginx links two nodes by WebSocket through an nginx as reverse proxy, in
// front of b, carries data over it, and restarts nginx.
func Nginx(t *testing.T, aBy, bBy Programs) {
	bin, err := exec.LookPath("nginx")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("nginx is not installed")
		}
	}
	dir := Dir(t)
	front, back, in := FreePort(t), FreePort(t), FreePort(t)
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server {
    listen 127.0.0.1:%[2]d;
    location /mesh {
      proxy_pass http://127.0.0.1:%[3]d;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $http_host;
    }
  }
}
`, dir, front, back)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (stop func()) {
		cmd := exec.Command(bin, "-e", filepath.Join(dir, "error.log"), "-c", conf)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return sync.OnceFunc(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Logf("nginx: %s", out.String())
			}
		})
	}
	stop := run()
	defer func() { stop() }()
	b := New(t, bBy, dir, "b", fmt.Sprintf("- ws-listener: {bindaddr: 127.0.0.1, port: %d, path: /mesh}\n- tcp-client: {service: hash, address: %q}\n",
		back, HashServer(t)))
	a := New(t, aBy, dir, "a", fmt.Sprintf("- ws-peer: {address: \"ws://127.0.0.1:%d/mesh\"}\n- tcp-server: {bindaddr: 127.0.0.1, port: %d, remotenode: b, remoteservice: hash}\n",
		front, in))
	b.Start()
	a.Start()
	for range 2 {
		a.Reach(b)
		b.Reach(a)
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", in))
		if err != nil {
			t.Fatal(err)
		}
		if err := Upload(c, 8<<20, 1); err != nil {
			t.Fatal(err)
		}
		stop()
		a.Eventually("notice that nginx is gone", func() bool { return a.Try("ping", "--count", "1", "b").Code != 0 })
		stop = run()
	}
}
