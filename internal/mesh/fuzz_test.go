package mesh

import (
	"fmt"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/mesh/wire"
)

// FuzzAdverts turns bytes into advertisements, times and sweeps. Whatever they are,
// the table counts right, and lists a service only once.
func FuzzAdverts(f *testing.F) {
	f.Add([]byte("0123456789abcdef"))
	f.Add([]byte{0, 1, 2, 3, 0, 1, 2, 3, 0xff, 0, 1, 1, 0x80, 0x81, 7, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		var table advertTable
		table.init("us")
		now := time.Unix(1<<30, 0)
		known := map[wire.NodeID]map[wire.NodeID]float64{"n0": {}, "n1": {}}
		for ; len(data) >= 4; data = data[4:] {
			a := wire.Advert{
				NodeID: wire.NodeID(fmt.Sprint("n", data[0]%8)), Service: wire.Service(fmt.Sprint(data[1] % 16)),
				Time: now.Add(time.Duration(int8(data[2])) * time.Hour), Cancel: data[3]&1 != 0, Tags: map[string]string{"t": string(make([]byte, data[3]))},
			}
			frame := wire.AppendAdvert(nil, a)
			switch data[3] >> 1 & 7 {
			case 0:
				now = now.Add(time.Duration(data[2]) * time.Second)
				table.sweep(now, known)
			case 1: // as whoever forged it wrote it
				if parsed, err := wire.ParseAdvert(append([]byte{byte(wire.TypeAdvert)}, data...)); err == nil {
					table.receive(now, parsed, data)
				}
			default:
				if news, fits := table.receive(now, a, frame); news != nil && !fits {
					t.Fatal("what does not fit is forwarded")
				}
			}
			size, bytes, seen := 0, 0, map[string]bool{}
			for _, services := range table.nodes {
				for _, e := range services {
					size, bytes = size+1, bytes+e.cost()
				}
			}
			if size != table.size || bytes != table.bytes {
				t.Fatalf("%d of %d bytes are counted, there are %d of %d", table.size, table.bytes, size, bytes)
			}
			for _, a := range table.list() {
				key := fmt.Sprint(a.NodeID, "/", a.Service)
				if seen[key] || a.Cancel {
					t.Fatalf("%s is listed twice, or cancelled", key)
				}
				seen[key] = true
			}
		}
		table.sweep(now.Add(advertAge), known)
		if table.size != 0 || table.bytes != 0 {
			t.Fatalf("%d advertisements of %d bytes are left", table.size, table.bytes)
		}
	})
}
