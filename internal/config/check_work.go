package config

import (
	"fmt"
	"slices"
)

// work checks the sections of work. A work type without a name cannot be
// asked for: it is left out.
func (c *checker) work() {
	f := c.file
	types := taken{c: c, by: make(map[string]Origin)}
	for _, w := range f.WorkCommands {
		if !c.workType(types, w.Origin, w.WorkType) {
			continue
		}
		if w.Command == "" {
			c.warn(w.Origin, "command", "is empty: units will fail")
		}
		c.verified(w.Origin, "command", w.WorkType, w.VerifySignature)
	}
	for _, w := range f.WorkKubernetes {
		if c.workType(types, w.Origin, w.WorkType) {
			c.kubernetes(w)
			c.verified(w.Origin, "kubernetes", w.WorkType, w.VerifySignature)
		}
	}
	for _, w := range f.WorkPythons {
		if c.workType(types, w.Origin, w.WorkType) {
			c.notEmpty(w.Origin, "plugin", w.Plugin)
			c.notEmpty(w.Origin, "function", w.Function)
			c.verified(w.Origin, "python", w.WorkType, w.VerifySignature)
		}
	}
	f.WorkCommands = slices.DeleteFunc(f.WorkCommands, func(w WorkCommand) bool { return w.WorkType == "" })
	f.WorkKubernetes = slices.DeleteFunc(f.WorkKubernetes, func(w WorkKubernetes) bool { return w.WorkType == "" })
	f.WorkPythons = slices.DeleteFunc(f.WorkPythons, func(w WorkPython) bool { return w.WorkType == "" })
	if s := f.WorkSigning; s != nil {
		c.notEmpty(s.Origin, "privatekey", s.PrivateKey)
		if s.TokenExpiration <= 0 {
			c.wrong(s.Origin, "tokenexpiration", "", "must be greater than 0")
		}
	}
	if v := f.WorkVerification; v != nil {
		c.notEmpty(v.Origin, "publickey", v.PublicKey)
	}
}

// workType checks the name of a work type. It is false if there is none, so
// that nothing else of the section matters.
func (c *checker) workType(types taken, o Origin, name string) bool {
	if name == "" {
		c.warn(o, "worktype", "is empty: the section has no effect")
		return false
	}
	if name == "remote" {
		c.wrong(o, "worktype", "the name has a meaning of its own", "work type remote already registered")
	}
	types.claim(o, "worktype", name, fmt.Sprintf("work type %s already registered", name))
	return true
}

// verified checks that there is a key if signatures are demanded.
func (c *checker) verified(o Origin, kind, worktype string, demanded bool) {
	if demanded && c.file.WorkVerification == nil {
		c.wrong(o, "verifysignature", "add a section work-verification",
			"VerifySignature for work %s '%s' is true, but the work verification public key is not specified", kind, worktype)
	}
}

// kubernetes checks what goes together in a section work-kubernetes.
func (c *checker) kubernetes(w WorkKubernetes) {
	o := w.Origin
	if w.Namespace == "" && w.AuthMethod != AuthKubeconfig && !w.AllowRuntimeAuth && !o.failed["authmethod"] {
		c.wrong(o, "namespace", "", "must provide namespace when AuthMethod is not kubeconfig")
	}
	if w.KubeConfig != "" && w.AuthMethod != AuthKubeconfig && !o.failed["authmethod"] {
		c.wrong(o, "kubeconfig", "", "can only provide KubeConfig when AuthMethod=kubeconfig")
	}
	switch {
	case w.Pod != "" && (w.Image != "" || w.Command != "" || w.Params != ""):
		c.wrong(o, "pod", "", "can only provide Pod when Image, Command, and Params are empty")
	case w.Pod == "" && w.Image == "" && !w.AllowRuntimeCommand && !w.AllowRuntimePod:
		c.wrong(o, "image", "", "must specify a container image to run")
	}
}
