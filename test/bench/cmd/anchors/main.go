//go:build linux

// Anchors measures what the machine itself can do, so that the figures of
// meshbench can be put in proportion: loopback TCP, relays in user space,
// AES-GCM, process creation and file writes.
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/receptor-go/receptor/test/bench/internal/stat"
)

func main() {
	temp := flag.String("tmp", os.TempDir(), "directory for the file test")
	flag.Parse()
	fmt.Printf("%s, %d CPUs, %s\n", time.Now().UTC().Format(time.RFC3339), runtime.NumCPU(), runtime.Version())
	for _, hops := range []int{0, 1, 3} {
		throughput(hops, false)
	}
	for _, hops := range []int{1, 3} {
		throughput(hops, true)
	}
	for _, hops := range []int{0, 1, 3} {
		roundTrip(hops)
	}
	for _, size := range []int{1350, 16 << 10} {
		gcm(size)
	}
	spawn()
	for _, sync := range []bool{false, true} {
		write(*temp, sync)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "anchors:", err)
		os.Exit(1)
	}
	return v
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// listen handles every connection to the returned address.
func listen(handle func(net.Conn)) string {
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go handle(c)
		}
	}()
	return ln.Addr().String()
}

// relay forwards to target, either with a buffer in user space or with
// whatever io.Copy picks, which on Linux is splice.
func relay(target string, splice bool) string {
	return listen(func(in net.Conn) {
		out := must(net.Dial("tcp", target))
		copyAll := func(dst, src net.Conn) {
			if splice {
				_, _ = io.Copy(dst, src)
			} else {
				_, _ = io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 64<<10))
			}
			_ = dst.(*net.TCPConn).CloseWrite()
		}
		go copyAll(in, out)
		copyAll(out, in)
	})
}

func chain(target string, hops int, splice bool) net.Conn {
	for range hops {
		target = relay(target, splice)
	}
	return must(net.Dial("tcp", target))
}

func throughput(hops int, splice bool) {
	const size = 2 << 30
	sink := listen(func(c net.Conn) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, c, make([]byte, 256<<10))
		_, _ = c.Write([]byte{1})
	})
	var rates, costs []float64
	for range 3 {
		c := chain(sink, hops, splice)
		block := make([]byte, 256<<10)
		began, spent := time.Now(), cpu()
		for range size / len(block) {
			must(c.Write(block))
		}
		_ = c.(*net.TCPConn).CloseWrite()
		must(io.ReadFull(c, block[:1]))
		rates = append(rates, size/1e6/time.Since(began).Seconds())
		costs = append(costs, (cpu()-spent).Seconds()/(size/(1<<30)))
		c.Close()
	}
	how := "copy in user space"
	if splice {
		how = "splice"
	}
	fmt.Printf("loopback TCP through %d relays (%s): %.0f MB/s, %.2f CPU s/GiB, all ends\n",
		hops, how, stat.Median(rates), stat.Median(costs))
}

func roundTrip(hops int) {
	echo := listen(func(c net.Conn) { _, _ = io.Copy(struct{ io.Writer }{c}, c) })
	c := chain(echo, hops, false)
	defer c.Close()
	message := make([]byte, 64)
	var trips []float64
	for range 20000 {
		began := time.Now()
		must(c.Write(message))
		must(io.ReadFull(c, message))
		trips = append(trips, stat.Micros(time.Since(began)))
	}
	slices.Sort(trips)
	fmt.Printf("64-byte round trip through %d relays: p50 %.1f us, p99 %.1f us\n",
		hops, stat.Quantile(trips, 0.5), stat.Quantile(trips, 0.99))
}

func gcm(size int) {
	block := must(aes.NewCipher(make([]byte, 16)))
	seal := must(cipher.NewGCM(block))
	plain, nonce := make([]byte, size), make([]byte, 12)
	out := make([]byte, 0, size+16)
	began := time.Now()
	n := 0
	for time.Since(began) < time.Second {
		for range 100 {
			out = seal.Seal(out[:0], nonce, plain, nil)
		}
		n += 100 * size
	}
	fmt.Printf("AES-128-GCM seal, Go, one core, %d-byte blocks: %.0f MB/s\n", size, float64(n)/1e6/time.Since(began).Seconds())
}

func spawn() {
	for _, workers := range []int{1, runtime.NumCPU()} {
		const total = 1000
		began := time.Now()
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				for range total / workers {
					must(0, exec.Command("true").Run())
				}
			})
		}
		group.Wait()
		fmt.Printf("fork, exec and wait of true from %d goroutines: %.0f per second\n",
			workers, total/time.Since(began).Seconds())
	}
}

func write(dir string, synced bool) {
	path := filepath.Join(dir, fmt.Sprintf("anchors-%d", os.Getpid()))
	defer os.Remove(path)
	flags, size, name := os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 256<<20, "buffered"
	if synced {
		flags, size, name = flags|os.O_SYNC, 64<<20, "O_SYNC"
	}
	f := must(os.OpenFile(path, flags, 0o600))
	defer f.Close()
	block := make([]byte, 128<<10)
	began := time.Now()
	for range size / len(block) {
		must(f.Write(block))
	}
	fmt.Printf("file writes of 128 KiB, %s: %.0f MB/s\n", name, float64(size)/1e6/time.Since(began).Seconds())
}
