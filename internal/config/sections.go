package config

// sections is the table of all sections, in the order of the help. It is only
// read. (spec configuration 7; golden data in testdata/help-shape.json)
var sections = []sectionSpec{
	{
		name: "node", single: true, build: buildNode,
		help: "Who this node is. Without it the host name is the node ID.",
		keys: []keySpec{
			{name: "id", typ: textType, bare: true, help: "Node ID, 1 to 255 bytes (default: host name)"},
			{name: "datadir", typ: textType, def: "/tmp/receptor", help: "Directory where units of work are kept"},
			{name: "firewallrules", typ: rulesType, help: "Rules for packets that this node sends, receives or forwards"},
			{name: "maxidleconnectiontimeout", typ: durationType, def: "21s", help: "Time without traffic after which a link is dropped, at least 21s"},
			{name: "receptorkubesupportreconnect", typ: textType, help: "Reconnect to the logs of pods: enabled, disabled or auto"},
			{name: "receptorkubeclientsetqps", typ: textType, help: "Requests per second to the Kubernetes API"},
			{name: "receptorkubeclientsetburst", typ: textType, help: "Burst of requests to the Kubernetes API"},
			{name: "receptorkubeclientsetratelimiter", typ: textType, help: "Rate limiter towards the Kubernetes API: never, always or tokenbucket"},
		},
	},
	{
		name: "local-only", single: true, build: buildLocalOnly,
		help: "Run without any link to other nodes.",
		keys: []keySpec{{name: "local", typ: boolType, help: "Needed in version 2 files, ignored elsewhere"}},
	},
	{name: "version", single: true, help: "Print the version."},
	{
		name: "log-level", single: true, build: buildLog,
		help: "What is logged. Without it the level is info.",
		keys: []keySpec{
			{name: "level", typ: levelType, bare: true, def: "error", help: "error, warning, info or debug"},
			{name: "format", typ: formatType, def: LogText, help: "text or json"},
		},
	},
	{name: "trace", build: buildTrace, help: "Accepted for compatibility, has no effect."},
	{
		name: "control-service", build: buildControlService,
		help: "Offer the control protocol on the mesh, a Unix socket or a TCP port.",
		keys: []keySpec{
			{name: "service", typ: textType, def: "control", help: "Mesh service name, at most 8 bytes; empty for none"},
			{name: "filename", typ: textType, help: "Unix socket"},
			{name: "permissions", typ: modeType, def: "0600", help: "Mode of the Unix socket, octal with a leading 0"},
			{name: "tls", typ: textType, help: "Name of a tls-server for the mesh service"},
			{name: "tcplisten", typ: listenType, help: "PORT or HOST:PORT to listen on"},
			{name: "tcptls", typ: textType, help: "Name of a tls-server for the TCP port"},
		},
	},
	{
		name: "tls-server", build: buildTLSServer,
		help: "TLS settings for what listens, to be referred to by name.",
		keys: []keySpec{
			{name: "name", typ: textType, required: true, help: "Name of these settings"},
			{name: "cert", typ: textType, required: true, help: "Certificate, PEM file"},
			{name: "key", typ: textType, required: true, help: "Private key, PEM file"},
			{name: "requireclientcert", typ: boolType, def: "false", help: "Demand a client certificate"},
			{name: "clientcas", typ: textType, help: "Authorities that client certificates must come from, PEM file"},
			{name: "pinnedclientcert", typ: pinsType, help: "SHA-256 or SHA-512 fingerprints of the client certificates to accept"},
			{name: "skipreceptornamescheck", typ: boolType, def: "false", help: "Do not check certificates for node IDs"},
			{name: "mintls13", typ: boolType, def: "false", help: "Refuse TLS 1.2"},
		},
	},
	{
		name: "tls-client", build: buildTLSClient,
		help: "TLS settings for what dials, to be referred to by name.",
		keys: []keySpec{
			{name: "name", typ: textType, required: true, help: "Name of these settings"},
			{name: "cert", typ: textType, required: true, help: "Certificate, PEM file; empty for none"},
			{name: "key", typ: textType, required: true, help: "Private key, PEM file; empty for none"},
			{name: "rootcas", typ: textType, help: "Authorities that server certificates must come from, PEM file (default: the system's)"},
			{name: "insecureskipverify", typ: boolType, def: "false", help: "Accept any server certificate"},
			{name: "pinnedservercert", typ: pinsType, help: "SHA-256 or SHA-512 fingerprints of the server certificates to accept"},
			{name: "skipreceptornamescheck", typ: boolType, def: "false", help: "Do not check certificates for node IDs"},
			{name: "mintls13", typ: boolType, def: "false", help: "Refuse TLS 1.2"},
		},
	},
	{
		name: "tcp-listener", build: buildListener(TCP), help: "Accept links over TCP.",
		keys: []keySpec{bindaddrKey, portKey, serverTLSKey, costKey, nodecostKey, allowedpeersKey},
	},
	{
		name: "tcp-peer", build: buildPeer(TCP), help: "Dial a link over TCP.",
		keys: []keySpec{addressKey, redialKey, clientTLSKey, costKey, allowedpeersKey},
	},
	{
		name: "udp-listener", build: buildListener(UDP), help: "Accept links over UDP.",
		keys: []keySpec{bindaddrKey, portKey, costKey, nodecostKey, allowedpeersKey},
	},
	{
		name: "udp-peer", build: buildPeer(UDP), help: "Dial a link over UDP.",
		keys: []keySpec{addressKey, redialKey, costKey, allowedpeersKey},
	},
	{
		name: "ws-listener", build: buildListener(WebSocket), help: "Accept links over WebSocket.",
		keys: []keySpec{
			bindaddrKey, portKey,
			{name: "path", typ: textType, def: "/", help: "HTTP path; / accepts every path"},
			serverTLSKey, costKey, nodecostKey, allowedpeersKey,
		},
	},
	{
		name: "ws-peer", build: buildPeer(WebSocket), help: "Dial a link over WebSocket.",
		keys: []keySpec{
			{name: "address", typ: urlType, required: true, bare: true, help: "URL: ws://HOST:PORT/PATH or wss://"},
			redialKey,
			{name: "extraheader", typ: textType, help: "Header to send, as in \"Name: value\""},
			clientTLSKey, costKey, allowedpeersKey,
		},
	},
	{name: "command-service", help: "Run a command on a terminal for each connection to a mesh service."},
	{name: "ip-router", help: "Route IP packets over the mesh."},
	{
		name: "tcp-server", build: buildTCPServer,
		help: "Listen on a TCP port and carry connections to a service of another node.",
		keys: []keySpec{
			{name: "port", typ: portType, required: true, help: "TCP port, 0 to 65535; 0 lets the system pick"},
			bindaddrKey,
			{name: "remotenode", typ: textType, required: true, help: "Node to carry connections to"},
			{name: "remoteservice", typ: textType, required: true, help: "Service of that node"},
			{name: "tlsserver", typ: textType, help: "Name of a tls-server for the TCP port"},
			{name: "tlsclient", typ: textType, help: "Name of a tls-client for the mesh side"},
		},
	},
	{
		name: "tcp-client", build: buildTCPClient,
		help: "Offer a mesh service and carry its connections to a TCP address.",
		keys: []keySpec{
			{name: "service", typ: textType, required: true, help: "Mesh service name, at most 8 bytes"},
			{name: "address", typ: addressType, required: true, help: "HOST:PORT to connect to"},
			{name: "tlsserver", typ: textType, help: "Name of a tls-server for the mesh side"},
			{name: "tlsclient", typ: textType, help: "Name of a tls-client for the TCP side"},
		},
	},
	{name: "udp-server", help: "Carry datagrams from a UDP port to a service of another node."},
	{name: "udp-client", help: "Offer a mesh service that carries datagrams to a UDP address."},
	{name: "unix-socket-server", help: "Carry connections from a Unix socket to a service of another node."},
	{name: "unix-socket-client", help: "Offer a mesh service that carries connections to a Unix socket."},
	{
		name: "work-signing", single: true, build: buildWorkSigning, help: "Sign work submitted to other nodes.",
		keys: []keySpec{
			{name: "privatekey", typ: textType, bare: true, help: "RSA private key, PEM file"},
			{name: "tokenexpiration", typ: durationType, def: "5m", help: "Lifetime of a signature, as in 1h30m"},
		},
	},
	{
		name: "work-verification", single: true, build: buildWorkVerification, help: "Verify the signatures of work.",
		keys: []keySpec{{name: "publickey", typ: textType, bare: true, help: "RSA public key, PEM file"}},
	},
	{
		name: "work-command", build: buildWorkCommand, help: "Offer to run a command as work.",
		keys: []keySpec{
			{name: "worktype", typ: textType, required: true, help: "Name of this type of work, unique on the node"},
			{name: "command", typ: textType, required: true, help: "Program to run"},
			{name: "params", typ: textType, help: "Arguments, split like a shell would"},
			{name: "allowruntimeparams", typ: boolType, def: "false", help: "Submitters may add arguments"},
			{name: "verifysignature", typ: boolType, def: "false", help: "Demand a signature; needs work-verification"},
		},
	},
	{name: "work-kubernetes", help: "Offer to run pods as work."},
	{name: "work-python", help: "Offer to run a Python plugin as work."},
	{name: "cert-init", single: true, help: "Make a certificate authority."},
	{name: "cert-makereq", single: true, help: "Make a certificate request."},
	{name: "cert-signreq", single: true, help: "Sign a certificate request."},
}

// Keys that several sections have.
var (
	bindaddrKey     = keySpec{name: "bindaddr", typ: bindaddrType, def: "0.0.0.0", help: "Local address; IPv6 in brackets; empty for all"}
	portKey         = keySpec{name: "port", typ: portType, required: true, bare: true, help: "Local port, 0 to 65535; 0 lets the system pick"}
	addressKey      = keySpec{name: "address", typ: addressType, required: true, bare: true, help: "HOST:PORT to connect to"}
	redialKey       = keySpec{name: "redial", typ: boolType, def: "true", help: "Keep trying after a failure"}
	serverTLSKey    = keySpec{name: "tls", typ: textType, help: "Name of a tls-server"}
	clientTLSKey    = keySpec{name: "tls", typ: textType, help: "Name of a tls-client"}
	costKey         = keySpec{name: "cost", typ: floatType, def: "1.0", help: "Cost of links, greater than 0; both ends must agree"}
	nodecostKey     = keySpec{name: "nodecost", typ: costsType, help: "Cost of the link to single nodes, each greater than 0"}
	allowedpeersKey = keySpec{name: "allowedpeers", typ: textsType, help: "Nodes that may link (default: all; an empty list: none)"}
)
