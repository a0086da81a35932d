package controlproto

import (
	"encoding/json"
	"testing"
	"time"
)

// The records as version 1 has them, members in its order.
func TestMessagesJSON(t *testing.T) {
	tests := []struct {
		in   any
		want string
	}{
		{Ping{Success: true, From: "executor01", Time: 677010}, `{"From":"executor01","Success":true,"Time":677010,"TimeStr":"677.01µs"}`},
		{Ping{Error: "no route to node"}, `{"Error":"no route to node","Success":false}`},
		{Hop{From: "a", Time: 1592, TimeStr: "1.592µs"}, `{"From":"a","Time":1592,"TimeStr":"1.592µs"}`},
		{Hop{Error: "timeout", Time: 1, TimeStr: "1ns"}, `{"Error":"timeout","From":"","Time":1,"TimeStr":"1ns"}`},
		{Reload{Success: true}, `{"Success":true}`},
		{Reload{Error: "x ERRORCODE 3"}, `{"Error":"x ERRORCODE 3","Success":false}`},
		{UnitStatus{Detail: "exit status 0", State: Succeeded, StateName: Succeeded.String(), StdoutSize: 12, WorkType: "cat"},
			`{"Detail":"exit status 0","ExtraData":null,"State":2,"StateName":"Succeeded","StdoutSize":12,"WorkType":"cat"}`},
		{Connection{NodeID: "b", Cost: 1}, `{"NodeID":"b","Cost":1}`},
		{Connection{NodeID: "b", Cost: 1.5}, `{"NodeID":"b","Cost":1.5}`},
		{Advert{NodeID: "a", Service: "control", Time: time.Unix(0, 455226204).UTC(), ConnType: 1,
			Tags: map[string]string{"type": "Control Service"}, WorkCommands: []WorkCommand{{WorkType: "cat"}}},
			`{"NodeID":"a","Service":"control","Time":"1970-01-01T00:00:00.455226204Z","ConnType":1,"Tags":{"type":"Control Service"},"WorkCommands":[{"WorkType":"cat","Secure":false}]}`},
		{Advert{NodeID: "a"}, `{"NodeID":"a","Service":"","Time":"0001-01-01T00:00:00Z","ConnType":0,"Tags":null,"WorkCommands":null}`},
		{Submitted{Result: JobStarted, UnitID: "x"}, `{"result":"Job Started","unitid":"x"}`},
	}
	for _, tt := range tests {
		if got, err := json.Marshal(tt.in); err != nil || string(got) != tt.want {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
}

func TestStates(t *testing.T) {
	tests := []struct {
		s     State
		name  string
		ended bool
	}{
		{Pending, "Pending", false}, {Running, "Running", false}, {Succeeded, "Succeeded", true},
		{Failed, "Failed", true}, {StateCanceled, "Canceled", true}, {5, "Unknown: 5", false}, {-1, "Unknown: -1", false},
	}
	for _, tt := range tests {
		if tt.s.String() != tt.name || tt.s.Ended() != tt.ended {
			t.Errorf("%d: %s, ended %v", int(tt.s), tt.s, tt.s.Ended())
		}
	}
}

func TestHops(t *testing.T) {
	trace := Trace{}
	for i, n := range []string{"0", "1", "10", "2", "3", "4", "5", "6", "7", "8", "9", "12"} {
		trace[n] = Hop{Time: time.Duration(i)}
	}
	hops := trace.Hops()
	if len(hops) != 11 || hops[10].Time != 2 || hops[2].Time != 3 {
		t.Errorf("hops %v", hops)
	}
}
