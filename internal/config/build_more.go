package config

import (
	"net/netip"
	"os"
	"time"
)

// The build functions of services other than those over TCP, of workers other
// than commands, and of the certificate tools.

func buildVersion(f *File, _ values) { f.PrintVersion = true }

func buildUDPServer(f *File, v values) {
	f.UDPServers = append(f.UDPServers, UDPServer{
		Origin:        v.origin,
		Address:       bindAddress(v),
		RemoteNode:    get[string](v, "remotenode"),
		RemoteService: get[string](v, "remoteservice"),
	})
}

func buildMetrics(f *File, v values) {
	f.Metrics = append(f.Metrics, Metrics{Origin: v.origin, Address: get[string](v, "address")})
}

func buildUDPClient(f *File, v values) {
	f.UDPClients = append(f.UDPClients, UDPClient{
		Origin:  v.origin,
		Service: get[string](v, "service"),
		Address: get[string](v, "address"),
	})
}

func buildUnixServer(f *File, v values) {
	f.UnixServers = append(f.UnixServers, UnixServer{
		Origin:        v.origin,
		Filename:      get[string](v, "filename"),
		Permissions:   get[os.FileMode](v, "permissions"),
		RemoteNode:    get[string](v, "remotenode"),
		RemoteService: get[string](v, "remoteservice"),
		TLS:           get[string](v, "tls"),
	})
}

func buildUnixClient(f *File, v values) {
	f.UnixClients = append(f.UnixClients, UnixClient{
		Origin:   v.origin,
		Service:  get[string](v, "service"),
		Filename: get[string](v, "filename"),
		TLS:      get[string](v, "tls"),
	})
}

func buildCommandService(f *File, v values) {
	f.CommandServices = append(f.CommandServices, CommandService{
		Origin:  v.origin,
		Service: get[string](v, "service"),
		Command: get[string](v, "command"),
		TLS:     get[string](v, "tls"),
	})
}

func buildIPRouter(f *File, v values) {
	f.IPRouters = append(f.IPRouters, IPRouter{
		Origin:      v.origin,
		NetworkName: get[string](v, "networkname"),
		Interface:   get[string](v, "interface"),
		LocalNet:    get[netip.Prefix](v, "localnet"),
		Routes:      get[[]netip.Prefix](v, "routes"),
	})
}

func buildWorkKubernetes(f *File, v values) {
	f.WorkKubernetes = append(f.WorkKubernetes, WorkKubernetes{
		Origin:              v.origin,
		WorkType:            get[string](v, "worktype"),
		Namespace:           get[string](v, "namespace"),
		Image:               get[string](v, "image"),
		Command:             get[string](v, "command"),
		Params:              get[string](v, "params"),
		AuthMethod:          get[string](v, "authmethod"),
		KubeConfig:          get[string](v, "kubeconfig"),
		Pod:                 get[string](v, "pod"),
		AllowRuntimeAuth:    get[bool](v, "allowruntimeauth"),
		AllowRuntimeCommand: get[bool](v, "allowruntimecommand"),
		AllowRuntimeParams:  get[bool](v, "allowruntimeparams"),
		AllowRuntimePod:     get[bool](v, "allowruntimepod"),
		DeletePodOnRestart:  get[bool](v, "deletepodonrestart"),
		StreamMethod:        get[string](v, "streammethod"),
		VerifySignature:     get[bool](v, "verifysignature"),
	})
}

func buildWorkPython(f *File, v values) {
	f.WorkPythons = append(f.WorkPythons, WorkPython{
		Origin:   v.origin,
		WorkType: get[string](v, "worktype"),
		Plugin:   get[string](v, "plugin"),
		Function: get[string](v, "function"),
		Config:   get[map[string]any](v, "config"),

		VerifySignature: get[bool](v, "verifysignature"),
		SeparateStderr:  get[bool](v, "stderr"),
		Limits:          limits(v),
	})
}

func buildCommandRunner(f *File, v values) {
	f.CommandRunners = append(f.CommandRunners, CommandRunner{
		Origin:  v.origin,
		Command: get[string](v, "command"),
		Params:  get[string](v, "params"),
		UnitDir: get[string](v, "unitdir"),
	})
}

func buildCertInit(f *File, v values) {
	f.CertInits = append(f.CertInits, CertInit{
		Origin:     v.origin,
		CommonName: get[string](v, "commonname"),
		Bits:       get[int](v, "bits"),
		NotBefore:  get[time.Time](v, "notbefore"),
		NotAfter:   get[time.Time](v, "notafter"),
		OutCert:    get[string](v, "outcert"),
		OutKey:     get[string](v, "outkey"),
	})
}

func buildCertRequest(f *File, v values) {
	f.CertRequests = append(f.CertRequests, CertRequest{
		Origin:      v.origin,
		CommonName:  get[string](v, "commonname"),
		Bits:        get[int](v, "bits"),
		DNSNames:    get[[]string](v, "dnsname"),
		IPAddresses: get[[]string](v, "ipaddress"),
		NodeIDs:     get[[]string](v, "nodeid"),
		OutReq:      get[string](v, "outreq"),
		InKey:       get[string](v, "inkey"),
		OutKey:      get[string](v, "outkey"),
	})
}

func buildCertSigning(f *File, v values) {
	f.CertSignings = append(f.CertSignings, CertSigning{
		Origin:    v.origin,
		Req:       get[string](v, "req"),
		CACert:    get[string](v, "cacert"),
		CAKey:     get[string](v, "cakey"),
		NotBefore: get[time.Time](v, "notbefore"),
		NotAfter:  get[time.Time](v, "notafter"),
		OutCert:   get[string](v, "outcert"),
		Verify:    get[bool](v, "verify"),
	})
}
