package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/controlproto"
)

// records are the entries of an audit log. They may follow a little later.
func (d *testDaemon) records(name string) []audit.Entry {
	d.t.Helper()
	f, err := os.Open(d.fill(name))
	if err != nil {
		return nil
	}
	defer f.Close()
	var es []audit.Entry
	for s := bufio.NewScanner(f); s.Scan(); {
		var e audit.Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			d.t.Fatalf("%v in %s", err, s.Text())
		}
		es = append(es, e)
	}
	return es
}

// recorded waits for an entry.
func (d *testDaemon) recorded(name, what string, is func(audit.Entry) bool) {
	d.t.Helper()
	d.until("entry about "+what, func() bool { return slices.ContainsFunc(d.records(name), is) })
}

// submit gives the result of a submission without payload, and the unit's id.
func (d *testDaemon) submit(line string) (answer, unit string) {
	d.t.Helper()
	c, err := net.Dial("unix", d.socket())
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintln(c, line)
	lines := bufio.NewScanner(c)
	lines.Scan() // the greeting
	lines.Scan()
	first := lines.Text()
	id, ok := strings.CutPrefix(first, "Work unit created with ID ")
	if !ok {
		return first, ""
	}
	id, _, _ = strings.Cut(id, ".")
	c.(*net.UnixConn).CloseWrite()
	lines.Scan()
	return lines.Text(), id
}

func (d *testDaemon) unit(id string) controlproto.UnitStatus {
	d.t.Helper()
	var u controlproto.UnitStatus
	if answer := d.ask("work status " + id); json.Unmarshal([]byte(answer), &u) != nil {
		d.t.Fatal(answer)
	}
	return u
}

const (
	accessController = `
- node: {id: NAME, datadir: DIR/data}
- tcp-peer: {address: 'HOST:2361'}
- control-service: {filename: DIR/s}
- audit-log: DIR/audit
`
	accessExecutor = `
- node: {id: executor, datadir: DIR/data}
- tcp-listener: {bindaddr: HOST, port: 2361}
- work-command: {worktype: good, command: echo, params: done}
- work-command: {worktype: bad, command: echo}
- audit-log: {filename: DIR/audit}
- control-service:
    filename: DIR/s
    accessrules:
    - {action: allow, user: UID}
    - {action: allow, node: '/ctl.*/', commands: [work-submit, work-list, work-results, work-cancel, work-release], worktypes: WORKTYPES}
`
)

// TestRemoteWorkIsLimited: what a node may submit here is limited by the rules
// of this node, whatever the controller says; and a reload changes them at once,
// also for controllers that are connected.
func TestRemoteWorkIsLimited(t *testing.T) {
	executorConf := func(types string) string {
		return strings.NewReplacer("UID", fmt.Sprint(os.Getuid()), "WORKTYPES", types).Replace(accessExecutor)
	}
	e := startDaemon(t, executorConf("[good]"))
	c := startDaemon(t, strings.Replace(accessController, "NAME", "ctl01", 1))
	x := startDaemon(t, strings.Replace(accessController, "NAME", "other", 1))
	for _, d := range []*testDaemon{c, x} {
		d.until("route", func() bool { return strings.Contains(d.ask("ping executor"), `"Success":true`) })
	}
	_, good := c.submit("work submit executor good")
	c.until("the end of good work", func() bool { return c.unit(good).State == controlproto.Succeeded })
	if got := c.ask("work results " + good); !strings.HasPrefix(got, "Streaming results") {
		t.Errorf("results: %s", got)
	}
	const denied = "permission denied: work-submit of work type bad on executor is not allowed for node ctl01"
	answer, bad := c.submit("work submit executor bad")
	if !strings.Contains(answer, denied) {
		t.Errorf("answer to work that is not allowed: %s", answer)
	}
	if u := c.unit(bad); u.State != controlproto.Failed || !strings.Contains(u.Detail, denied) {
		t.Errorf("unit of work that is not allowed: %+v", u)
	}
	if answer, _ := x.submit("work submit executor good"); !strings.Contains(answer, "is not allowed for node other") {
		t.Errorf("work of another node: %s", answer)
	}
	if got := e.ask("work list"); strings.Count(got, "WorkType") != 1 {
		t.Errorf("units of the executor: %s", got)
	}

	e.reload(executorConf("[good, bad]"))
	if answer, _ := c.submit("work submit executor bad"); !strings.Contains(answer, "Job Started") {
		t.Errorf("after a reload: %s", answer)
	}
	e.reload(executorConf("[nothing]"))
	if answer, _ := c.submit("work submit executor good"); !strings.Contains(answer, "permission denied") {
		t.Errorf("after another reload: %s", answer)
	}
	e.write(strings.Replace(executorConf("[good]"), "action: allow, user", "action: allow, user: nosuchuser00, group", 1))
	if got := e.ask("reload"); !strings.Contains(got, `rule 0: no user \"nosuchuser00\" is known on this machine`) {
		t.Errorf("rules with an unknown user: %s", got)
	}
	e.reload(executorConf("[good]"))
	if got := c.ask("work release " + good); !strings.Contains(got, "released") {
		t.Errorf("release: %s", got)
	}

	from := func(node, command, workType string, result audit.Result) func(audit.Entry) bool {
		return func(r audit.Entry) bool {
			return r.From.Node == node && r.Command == command && r.WorkType == workType && r.Result == result && r.Node == "executor" && r.ToNode == "executor"
		}
	}
	e.recorded("DIR/audit", "work", from("ctl01", "work-submit", "good", audit.OK))
	e.recorded("DIR/audit", "work that was denied", from("ctl01", "work-submit", "bad", audit.Denied))
	e.recorded("DIR/audit", "work of another", from("other", "work-submit", "good", audit.Denied))
	e.recorded("DIR/audit", "release", from("ctl01", "work-release", "good", audit.OK))
	uid := uint32(os.Getuid())
	e.recorded("DIR/audit", "reload", func(r audit.Entry) bool {
		return r.Command == "reload" && r.Result == audit.OK && r.From.UID != nil && *r.From.UID == uid
	})
	e.recorded("DIR/audit", "reload that failed", func(r audit.Entry) bool { return r.Command == "reload" && r.Result == audit.Failed })
	c.recorded("DIR/audit", "work sent away", func(r audit.Entry) bool {
		return r.Command == "work-submit" && r.ToNode == "executor" && r.Unit == bad && r.Result == audit.Denied && r.WorkType == "bad"
	})
	if info, err := os.Stat(filepath.Join(e.dir, "audit")); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode of the audit log: %v, %v", info.Mode(), err)
	}
}

// TestAuditLogReload: the section can come, go, and name another file, and what
// cannot be opened refuses the reload.
func TestAuditLogReload(t *testing.T) {
	const base = "- node: {id: n, datadir: DIR/data}\n- local-only\n- control-service: {filename: DIR/s}\n"
	d := startDaemon(t, base)
	d.reload(base + "- audit-log: DIR/one\n")
	reloads := func(r audit.Entry) bool { return r.Command == "reload" }
	d.recorded("DIR/one", "the reload that began it", reloads)
	d.write(base + "- audit-log: DIR/nosuch/file\n")
	if got := d.ask("reload"); !strings.Contains(got, "open the audit log") || !strings.Contains(got, "ERRORCODE 4") {
		t.Errorf("a file that cannot be opened: %s", got)
	}
	d.reload(base + "- audit-log: {filename: DIR/two, reads: true}\n")
	d.ask("ping localhost")
	d.recorded("DIR/two", "ping", func(r audit.Entry) bool { return r.Command == "ping" })
	if err := os.Rename(d.fill("DIR/two"), d.fill("DIR/two.1")); err != nil {
		t.Fatal(err)
	}
	d.ask("ping localhost")
	d.recorded("DIR/two", "ping in a new file", func(r audit.Entry) bool { return r.Command == "ping" })
	one := len(d.records("DIR/one"))
	d.reload(base)
	d.ask("reload")
	d.stop()
	if n := len(d.records("DIR/one")); n != one {
		t.Errorf("%d entries in the file of before, want %d", n, one)
	}
}

// TestFirewallReload: changed rules of the firewall hold at once.
func TestFirewallReload(t *testing.T) {
	const hub = "- node: {id: hub, datadir: DIR/data, firewallrules: RULES}\n- tcp-listener: {bindaddr: HOST, port: 2362}\n- control-service: {filename: DIR/s}\n"
	h := startDaemon(t, strings.Replace(hub, "RULES", "[]", 1))
	a := startDaemon(t, "- node: {id: a, datadir: DIR/data}\n- tcp-peer: {address: 'HOST:2362'}\n- control-service: {filename: DIR/s}\n")
	a.until("route", func() bool { return strings.Contains(a.ask("ping hub"), `"Success":true`) })
	for range 2 {
		h.reload(strings.Replace(hub, "RULES", "[{action: reject, fromnode: a, toservice: ping}]", 1))
		if got := a.ask("ping hub"); !strings.Contains(got, "blocked by firewall") {
			t.Errorf("ping with a rule: %s", got)
		}
		if got := h.ask("ping a"); !strings.Contains(got, `"Success":true`) {
			t.Errorf("ping the other way: %s", got)
		}
		h.reload(strings.Replace(hub, "RULES", "[]", 1))
		if got := a.ask("ping hub"); !strings.Contains(got, `"Success":true`) {
			t.Errorf("ping without rules: %s", got)
		}
	}
	h.write(strings.Replace(hub, "RULES", "[{action: reject, fromnode: '/([/'}]", 1))
	if got := h.ask("reload"); !strings.Contains(got, "regular expression") {
		t.Errorf("a bad rule: %s", got)
	}
	if got := a.ask("ping hub"); !strings.Contains(got, `"Success":true`) {
		t.Errorf("ping after a reload that was refused: %s", got)
	}
}

// TestAccessRulesOfThisMachine: names of users and groups are those of this machine.
func TestAccessRulesOfThisMachine(t *testing.T) {
	f, err := config.LoadReader(config.Options{Hostname: "h"}, "c.yml", strings.NewReader(`
- control-service:
    accessrules:
    - {action: allow, user: root, group: root}
    - {action: allow, user: nosuchuser00}
    - {action: deny, group: "4294967290"}
    - {action: allow, group: nosuchgroup00}
`))
	if err != nil {
		t.Fatal(err)
	}
	rules, problems := accessRules(f.ControlServices[0])
	if len(problems) != 2 || problems[0].String() != `c.yml:5: section "control-service", key "accessrules": rule 1: no user "nosuchuser00" is known on this machine: write its number if it is in no local file` ||
		!strings.HasPrefix(problems[1].String(), `c.yml:7: section "control-service", key "accessrules": rule 3: no group`) {
		t.Errorf("problems\n%v", problems)
	}
	if len(rules) != 4 || *rules[0].UID != 0 || *rules[0].GID != 0 || *rules[2].GID != 4294967290 || rules[2].Allow || rules[0].Node != nil {
		t.Errorf("rules %+v", rules)
	}
}

// TestControllerThatMayNotLook: a unit whose controller may submit it and not
// look at it says so, and goes on when that is allowed.
func TestControllerThatMayNotLook(t *testing.T) {
	conf := func(commands string) string {
		return "- node: {id: executor, datadir: DIR/data}\n- tcp-listener: {bindaddr: HOST, port: 2363}\n- work-command: {worktype: good, command: echo, params: done}\n" +
			"- control-service:\n    filename: DIR/s\n    accessrules:\n    - {action: allow, group: " + fmt.Sprint(os.Getgid()) + "}\n    - {action: allow, node: ctl, commands: " + commands + "}\n"
	}
	e := startDaemon(t, conf("[work-submit]"))
	c := startDaemon(t, "- node: {id: ctl, datadir: DIR/data}\n- tcp-peer: {address: 'HOST:2363'}\n- control-service: {filename: DIR/s}\n")
	c.until("route", func() bool { return strings.Contains(c.ask("ping executor"), `"Success":true`) })
	answer, unit := c.submit("work submit executor good")
	if !strings.Contains(answer, "Job Started") {
		t.Fatal(answer)
	}
	c.until("reason", func() bool { return strings.Contains(c.unit(unit).Detail, "permission denied: work-results") })
	e.reload(conf("[work]"))
	c.until("end of the unit", func() bool { return c.unit(unit).State == controlproto.Succeeded })
	e.reload(conf("[work-submit, work-list, work-results]"))
	if got := c.ask("work release " + unit); !strings.Contains(got, "permission denied: work-release of work type good") {
		t.Errorf("release that the other node does not allow: %s", got)
	}
	e.reload(conf("[work]"))
	if got := c.ask("work release " + unit); !strings.Contains(got, "released") {
		t.Errorf("release: %s", got)
	}
}
