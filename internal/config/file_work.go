package config

import "time"

// The values of WorkKubernetes.AuthMethod.
const (
	AuthKubeconfig = "kubeconfig"
	AuthInCluster  = "incluster"
	AuthRuntime    = "runtime"
)

// The values of WorkKubernetes.StreamMethod.
const (
	StreamLogger = "logger"
	StreamTCP    = "tcp"
)

// WorkKubernetes is a section work-kubernetes (spec configuration 7.11).
type WorkKubernetes struct {
	Origin              Origin
	WorkType            string // as of WorkCommand
	Namespace           string
	Image               string
	Command             string
	Params              string
	AuthMethod          string // AuthKubeconfig, AuthInCluster or AuthRuntime
	KubeConfig          string // file, only with AuthKubeconfig
	Pod                 string // file, only without Image, Command and Params
	AllowRuntimeAuth    bool
	AllowRuntimeCommand bool
	AllowRuntimeParams  bool
	AllowRuntimePod     bool
	DeletePodOnRestart  bool   // by default true
	StreamMethod        string // StreamLogger or StreamTCP
	VerifySignature     bool
}

// WorkPython is a section work-python (spec configuration 7.11). What follows
// Config is ours, unknown to ansible/receptor.
type WorkPython struct {
	Origin   Origin
	WorkType string // as of WorkCommand
	Plugin   string // entry point of the group receptor.worker, or a Python module
	Function string
	Config   map[string]any // texts, bools, int64s, float64s, nil, lists and maps of these

	VerifySignature bool // only with File.WorkVerification
	SeparateStderr  bool // by default true: what is no result of the function is kept apart
	Limits
}

// CommandRunner is the section command-runner, which is not for people: one
// command of one unit (spec configuration 7.11).
type CommandRunner struct {
	Origin  Origin
	Command string
	Params  string
	UnitDir string
}

// CertInit is a section cert-init: a certificate authority to make (spec
// certificates 1.1).
type CertInit struct {
	Origin     Origin
	CommonName string
	Bits       int       // of the RSA key; 0 is 2048
	NotBefore  time.Time // zero is now
	NotAfter   time.Time // zero is in 10 years
	OutCert    string
	OutKey     string
}

// CertRequest is a section cert-makereq: a certificate request to make (spec
// certificates 1.2). Exactly one of InKey and OutKey is set.
type CertRequest struct {
	Origin      Origin
	CommonName  string
	Bits        int // of the RSA key; set with OutKey only
	DNSNames    []string
	IPAddresses []string // each parses
	NodeIDs     []string
	OutReq      string
	InKey       string
	OutKey      string
}

// CertSigning is a section cert-signreq: a request to sign (spec certificates
// 1.3).
type CertSigning struct {
	Origin    Origin
	Req       string
	CACert    string
	CAKey     string
	NotBefore time.Time // zero is now
	NotAfter  time.Time // zero is in a year
	OutCert   string
	Verify    bool // do not ask
}
