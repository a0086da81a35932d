package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/work"
)

// Every key of a work type reaches the part that carries it out.
func TestWorkTypes(t *testing.T) {
	f, err := config.LoadReader(config.Options{Hostname: "h"}, "c.yml", strings.NewReader(`
- work-verification: {publickey: k.pem}
- work-command: {worktype: w, command: c, params: p, allowruntimeparams: true, verifysignature: true, stderr: separate,
    maxunits: 1, maxruntime: 2s, maxoutput: 3K, keepfor: 4d, keepcount: 5}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []work.Command{{
		WorkType: "w", Command: "c", Params: "p", AllowRuntimeParams: true, VerifySignature: true, SeparateStderr: true,
		MaxUnits: 1, MaxRuntime: 2 * time.Second, MaxOutput: 3000, KeepFor: 96 * time.Hour, KeepCount: 5,
	}}
	got := workTypes(f.WorkCommands)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i := range reflect.TypeFor[work.Command]().NumField() {
		if reflect.ValueOf(got[0]).Field(i).IsZero() {
			t.Errorf("no key sets %s", reflect.TypeFor[work.Command]().Field(i).Name)
		}
	}
}
