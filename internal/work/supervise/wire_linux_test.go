package supervise

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", `""`}, {"a b", `"a b"`}, {"ü", `"ü"`}, {"\x00\n", `"\u0000\n"`}, {"\xff", `["/w=="]`}, {"ab\xc3", `["YWLD"]`},
	} {
		b, err := json.Marshal(text(tt.in))
		if err != nil || string(b) != tt.want {
			t.Errorf("%q: %s, %v, want %s", tt.in, b, err, tt.want)
		}
		var back text
		if err := json.Unmarshal(b, &back); err != nil || string(back) != tt.in {
			t.Errorf("%s: %q, %v", b, back, err)
		}
	}
	for _, bad := range []string{`[]`, `["YQ==","YQ=="]`, `["!"]`, `1`, `{}`} {
		var x text
		if err := json.Unmarshal([]byte(bad), &x); err == nil {
			t.Errorf("%s is taken as %q", bad, x)
		}
	}
}

func TestReadLine(t *testing.T) {
	long := `{"op":"` + strings.Repeat("x", 100_000) + `"}`
	r := bufio.NewReader(strings.NewReader(`{"op":"a"}` + "\n" + long + "\n" + `{"op":"b"}` + "\n" + `{"op":"cut`))
	for _, want := range []int{1, 100_000, 1} {
		var q request
		if err := readLine(r, &q); err != nil || len(q.Op) != want {
			t.Errorf("%d bytes, %v, want %d", len(q.Op), err, want)
		}
	}
	if err := readLine(r, &request{}); err != io.ErrUnexpectedEOF {
		t.Errorf("cut line: %v", err)
	}
	if err := readLine(r, &request{}); err != io.EOF {
		t.Errorf("end: %v", err)
	}
	endless := bufio.NewReader(io.MultiReader(strings.NewReader(`{"op":"`), zeros{}))
	if err := readLine(endless, &request{}); err != errLineTooLong {
		t.Errorf("endless line: %v", err)
	}
	if _, err := appendLine(nil, strings.Repeat("x", maxLine-2)); err != nil {
		t.Errorf("longest line: %v", err)
	}
	if _, err := appendLine(nil, strings.Repeat("x", maxLine-1)); err != errLineTooLong {
		t.Errorf("one more: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestParseStat(t *testing.T) {
	const tail = " 7 42 43 34816 50 4194304 1 0 0 0 0 0 0 0 20 0 3 0 987654 2281472 210 18446744073709551615 1 1"
	for _, tt := range []struct {
		line string
		want stat
		ok   bool
	}{
		{"42 (sh) S" + tail, stat{'S', 7, 42, 43, 3, 987654}, true},
		{"42 (a) S (b c) Z" + tail, stat{'Z', 7, 42, 43, 3, 987654}, true},
		{"42 (sh S 7", stat{}, false},
		{"42 (sh) S 7 42", stat{}, false},
		{"42 (sh) S" + strings.Replace(tail, "987654", "x", 1), stat{}, false},
		{"", stat{}, false},
	} {
		got, err := parseStat([]byte(tt.line))
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("%q: %+v, %v, want %+v, %t", tt.line, got, err, tt.want, tt.ok)
		}
	}
	if (stat{state: 'Z', threads: 2}).ended() || !(stat{state: 'Z', threads: 1}).ended() || (stat{state: 'S', threads: 1}).ended() {
		t.Error("a process has ended when its last thread has")
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte(`{"op":"hello","versions":[1],"env":["A=b",["/w=="]],"workdir":"/"}` + "\n"))
	f.Add([]byte(`{"op":"start","id":1,"unit":"u","dir":"/d","command":"sh","args":["-c",""]}` + "\n"))
	f.Add([]byte(`{"op":"forget","units":["a",null]}` + "\n{\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(b), 16)
		for {
			var q, back request
			if err := readLine(r, &q); err != nil {
				return
			}
			line, err := appendLine(nil, &q)
			if err != nil {
				t.Fatal(err)
			}
			if err := readLine(bufio.NewReader(bytes.NewReader(line)), &back); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			again, err := appendLine(nil, &back)
			if err != nil || !bytes.Equal(line, again) {
				t.Errorf("%s\n%s\n%v", line, again, err)
			}
			if len(q.Env) > 0 && !reflect.DeepEqual(plain(q.Env), plain(back.Env)) {
				t.Errorf("%q became %q", q.Env, back.Env)
			}
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (sh) S 7 42 43 34816 50 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 2281472"))
	f.Add([]byte("1 ()) "))
	f.Fuzz(func(t *testing.T, b []byte) { parseStat(b) })
}
