package config

import (
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// The build functions of the table: each makes the struct of one section.

func buildNode(f *File, v values) {
	f.Node = Node{
		Origin:      v.origin,
		ID:          get[string](v, "id"),
		DataDir:     get[string](v, "datadir"),
		Firewall:    get[[]FirewallRule](v, "firewallrules"),
		IdleTimeout: get[time.Duration](v, "maxidleconnectiontimeout"),
		Unsynced:    !get[bool](v, "syncunits"),
		Kubernetes: Kubernetes{
			SupportReconnect: get[string](v, "receptorkubesupportreconnect"),
			QPS:              get[string](v, "receptorkubeclientsetqps"),
			Burst:            get[string](v, "receptorkubeclientsetburst"),
			RateLimiter:      get[string](v, "receptorkubeclientsetratelimiter"),
		},
	}
}

// buildLocalOnly takes the section itself as its meaning, but for version 2,
// where it has to say so (spec configuration 7.2).
func buildLocalOnly(f *File, v values) {
	f.LocalOnly = v.form != mapForm || get[bool](v, "local")
}

func buildTrace(f *File, _ values) { f.Trace = true }

func buildLog(f *File, v values) {
	f.Log = Log{
		Origin: v.origin,
		Level:  get[slog.Level](v, "level"),
		Format: get[string](v, "format"),
	}
}

func buildControlService(f *File, v values) {
	f.ControlServices = append(f.ControlServices, ControlService{
		Origin:      v.origin,
		Service:     get[string](v, "service"),
		Filename:    get[string](v, "filename"),
		Permissions: get[os.FileMode](v, "permissions"),
		TLS:         get[string](v, "tls"),
		TCPListen:   get[string](v, "tcplisten"),
		TCPTLS:      get[string](v, "tcptls"),
		Access:      get[[]AccessRule](v, "accessrules"),
	})
}

func buildAuditLog(f *File, v values) {
	f.AuditLog = &AuditLog{
		Origin:      v.origin,
		Filename:    get[string](v, "filename"),
		Permissions: get[os.FileMode](v, "permissions"),
		Reads:       get[bool](v, "reads"),
	}
}

func buildTLSServer(f *File, v values) {
	f.TLSServers = append(f.TLSServers, TLSServer{
		Origin:                 v.origin,
		Name:                   get[string](v, "name"),
		Cert:                   get[string](v, "cert"),
		Key:                    get[string](v, "key"),
		RequireClientCert:      get[bool](v, "requireclientcert"),
		ClientCAs:              get[string](v, "clientcas"),
		PinnedClientCert:       get[[][]byte](v, "pinnedclientcert"),
		SkipReceptorNamesCheck: get[bool](v, "skipreceptornamescheck"),
		MinTLS13:               get[bool](v, "mintls13"),
	})
}

func buildTLSClient(f *File, v values) {
	f.TLSClients = append(f.TLSClients, TLSClient{
		Origin:                 v.origin,
		Name:                   get[string](v, "name"),
		Cert:                   get[string](v, "cert"),
		Key:                    get[string](v, "key"),
		RootCAs:                get[string](v, "rootcas"),
		PinnedServerCert:       get[[][]byte](v, "pinnedservercert"),
		InsecureSkipVerify:     get[bool](v, "insecureskipverify"),
		SkipReceptorNamesCheck: get[bool](v, "skipreceptornamescheck"),
		MinTLS13:               get[bool](v, "mintls13"),
	})
}

func buildListener(t Transport) func(*File, values) {
	return func(f *File, v values) {
		l := Listener{
			Origin:       v.origin,
			Transport:    t,
			Address:      bindAddress(v),
			Cost:         get[float64](v, "cost"),
			NodeCost:     get[map[string]float64](v, "nodecost"),
			AllowedPeers: get[[]string](v, "allowedpeers"),
		}
		if t != UDP {
			l.TLS = get[string](v, "tls")
		}
		if t == WebSocket {
			l.Path = get[string](v, "path")
		}
		f.Listeners = append(f.Listeners, l)
	}
}

// bindAddress joins the keys bindaddr, which has its brackets already, and
// port.
func bindAddress(v values) string {
	return get[string](v, "bindaddr") + ":" + strconv.Itoa(get[int](v, "port"))
}

func buildPeer(t Transport) func(*File, values) {
	return func(f *File, v values) {
		p := Peer{
			Origin:       v.origin,
			Transport:    t,
			Address:      get[string](v, "address"),
			Redial:       get[bool](v, "redial"),
			Cost:         get[float64](v, "cost"),
			AllowedPeers: get[[]string](v, "allowedpeers"),
		}
		if t != UDP {
			p.TLS = get[string](v, "tls")
		}
		if t == WebSocket {
			p.ExtraHeader = get[string](v, "extraheader")
		}
		f.Peers = append(f.Peers, p)
	}
}

func buildTCPServer(f *File, v values) {
	f.TCPServers = append(f.TCPServers, TCPServer{
		Origin:        v.origin,
		Address:       bindAddress(v),
		RemoteNode:    get[string](v, "remotenode"),
		RemoteService: get[string](v, "remoteservice"),
		TLSServer:     get[string](v, "tlsserver"),
		TLSClient:     get[string](v, "tlsclient"),
	})
}

func buildTCPClient(f *File, v values) {
	f.TCPClients = append(f.TCPClients, TCPClient{
		Origin:    v.origin,
		Service:   get[string](v, "service"),
		Address:   get[string](v, "address"),
		TLSServer: get[string](v, "tlsserver"),
		TLSClient: get[string](v, "tlsclient"),
	})
}

func buildWorkSigning(f *File, v values) {
	f.WorkSigning = &WorkSigning{
		Origin:          v.origin,
		PrivateKey:      get[string](v, "privatekey"),
		TokenExpiration: get[time.Duration](v, "tokenexpiration"),
	}
}

func buildWorkVerification(f *File, v values) {
	f.WorkVerification = &WorkVerification{Origin: v.origin, PublicKey: get[string](v, "publickey"), Strict: get[bool](v, "strict")}
}

func buildWorkCommand(f *File, v values) {
	f.WorkCommands = append(f.WorkCommands, WorkCommand{
		Origin:             v.origin,
		WorkType:           get[string](v, "worktype"),
		Command:            get[string](v, "command"),
		Params:             get[string](v, "params"),
		AllowRuntimeParams: get[bool](v, "allowruntimeparams"),
		VerifySignature:    get[bool](v, "verifysignature"),
		SeparateStderr:     get[bool](v, "stderr"),
		Limits:             limits(v),
	})
}

// limits are those of a work type.
func limits(v values) Limits {
	return Limits{
		MaxUnits:   get[int](v, "maxunits"),
		MaxRuntime: get[time.Duration](v, "maxruntime"),
		MaxOutput:  get[int64](v, "maxoutput"),
		KeepFor:    get[time.Duration](v, "keepfor"),
		KeepCount:  get[int](v, "keepcount"),
	}
}

// splitBind splits an address that bindAddress or asListen made.
func splitBind(address string) (host, port string) {
	host, port, _ = net.SplitHostPort(address)
	return host, port
}
