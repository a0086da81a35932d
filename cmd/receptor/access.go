package main

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync/atomic"

	"github.com/receptor-go/receptor/internal/access"
	"github.com/receptor-go/receptor/internal/audit"
	"github.com/receptor-go/receptor/internal/config"
	"github.com/receptor-go/receptor/internal/control"
	"github.com/receptor-go/receptor/internal/work"
)

// accessList is the rules of a control service that runs. A reload replaces
// them.
type accessList struct{ atomic.Pointer[access.Rules] }

func (l *accessList) rules() access.Rules { return *l.Load() }

// accessListOf makes the list of a control service. It is called for services
// that start, with reloading held.
func (d *daemon) accessListOf(c config.ControlService) (*accessList, error) {
	rules, problems := accessRules(c)
	if len(problems) > 0 {
		return nil, problems
	}
	l := new(accessList)
	l.Store(&rules)
	if d.access == nil {
		d.access = make(map[string]*accessList)
	}
	d.access[c.Identity()] = l
	return l, nil
}

// useAccess applies the rules of a configuration to the services that run. Users
// and groups are looked up again.
func (d *daemon) useAccess(cfg *config.File) {
	for _, c := range cfg.ControlServices {
		rules, problems := accessRules(c)
		if l := d.access[c.Identity()]; l != nil && len(problems) == 0 {
			l.Store(&rules)
		}
	}
}

// accessProblems is what is wrong with access rules on this machine.
func accessProblems(f *config.File) config.Problems {
	var all config.Problems
	for _, c := range f.ControlServices {
		_, problems := accessRules(c)
		all = append(all, problems...)
	}
	return all
}

// accessRules turns the rules of a control service into those that are applied.
func accessRules(c config.ControlService) (access.Rules, config.Problems) {
	if c.Access == nil {
		return nil, nil
	}
	rules := access.Rules{}
	var problems config.Problems
	for i, r := range c.Access {
		wrong := func(err error) {
			problems = append(problems, r.Origin.Problem("accessrules", fmt.Sprintf("rule %d: %v", i, err)))
		}
		rule := access.Rule{
			Allow: r.Allow, Node: condition(r.Node), CertName: condition(r.CertName), Commands: r.Commands,
			ToNode: condition(r.ToNode), ToService: condition(r.ToService),
		}
		for _, p := range r.WorkTypes {
			rule.WorkTypes = append(rule.WorkTypes, p)
		}
		var err error
		if rule.UID, err = account(r.User, "user", uidOf); err != nil {
			wrong(err)
		}
		if rule.GID, err = account(r.Group, "group", gidOf); err != nil {
			wrong(err)
		}
		rules = append(rules, rule)
	}
	return rules, problems
}

// condition is a pattern as a condition; one that matches everything is none.
func condition(p config.Pattern) access.Pattern {
	if p == (config.Pattern{}) {
		return nil
	}
	return p
}

// account is the number of a user or group; nil for no name.
func account(name, what string, lookup func(string) (string, error)) (*uint32, error) {
	if name == "" {
		return nil, nil
	}
	if !control.KnowsUsers {
		return nil, fmt.Errorf("the %s at the other end of a Unix socket is not known on this system", what)
	}
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		number, unknown := lookup(name)
		if unknown != nil {
			return nil, fmt.Errorf("no %s %q is known on this machine: write its number if it is in no local file", what, name)
		}
		if n, err = strconv.ParseUint(number, 10, 32); err != nil {
			return nil, fmt.Errorf("%s %q has the number %s, which is none here", what, name, number)
		}
	}
	id := uint32(n)
	return &id, nil
}

func uidOf(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func gidOf(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// openAudit opens the audit log of a configuration; nil if there is none.
func openAudit(cfg *config.File) (*audit.File, error) {
	a := cfg.AuditLog
	if a == nil {
		return nil, nil
	}
	f, err := audit.Open(audit.Config{Filename: a.Filename, Mode: a.Permissions, Reads: a.Reads})
	if err != nil {
		return nil, at(a.Origin, err)
	}
	return f, nil
}

// recordSignal puts a reload on record that a signal has asked for.
func (d *daemon) recordSignal(name string, err error) {
	e := audit.Entry{
		Command: access.Reload, ToNode: string(d.node.ID), From: control.AuditFrom(access.Caller{Signal: name}), Result: audit.OK,
	}
	if err != nil {
		e.Result, e.Error = audit.Failed, err.Error()
		if errors.Is(err, control.ErrRestart) {
			e.Error += " (" + control.ErrRestart.Error() + ")"
		}
	}
	d.audit.Record(e)
}

// recordRefusal puts on record that work which was submitted here was never
// started. Who has submitted it is on record with the submission.
func (d *daemon) recordRefusal(r work.Refusal) {
	d.audit.Record(audit.Entry{
		Command: access.WorkSubmit, Unit: r.Unit, WorkType: r.WorkType, ToNode: r.Node,
		Result: audit.Refused, Error: r.Err.Message, Code: string(r.Err.Code),
	})
}
