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
- work-python: {worktype: yy, plugin: p, function: f, config: {a: 1}, verifysignature: true,
    maxunits: 1, maxruntime: 2s, maxoutput: 3K, keepfor: 4d, keepcount: 5}
- work-python: {worktype: m, plugin: p, function: f, stderr: mixed}
`))
	if err != nil {
		t.Fatal(err)
	}
	limits := work.Command{MaxUnits: 1, MaxRuntime: 2 * time.Second, MaxOutput: 3000, KeepFor: 96 * time.Hour, KeepCount: 5}
	command, python := limits, limits
	command.WorkType, command.Command, command.Params = "w", "c", "p"
	command.AllowRuntimeParams, command.VerifySignature, command.SeparateStderr = true, true, true
	python.WorkType, python.Python = "yy", &work.Python{Plugin: "p", Function: "f", Config: map[string]any{"a": int64(1)}}
	python.VerifySignature, python.SeparateStderr = true, true
	want := []work.Command{command, python, {WorkType: "m", Python: &work.Python{Plugin: "p", Function: "f"}}}
	got := workTypes(f)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i := range reflect.TypeFor[work.Command]().NumField() {
		if reflect.ValueOf(got[0]).Field(i).IsZero() && reflect.ValueOf(got[1]).Field(i).IsZero() {
			t.Errorf("no key sets %s", reflect.TypeFor[work.Command]().Field(i).Name)
		}
	}
	if offered := offeredTypes(f); len(offered) != 3 || !offered[1].Secure || offered[2].WorkType != "m" {
		t.Errorf("offered are %v", offered)
	}
}
