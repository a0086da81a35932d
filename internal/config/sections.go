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
			{name: "syncunits", typ: boolType, def: "true", ours: true, help: "Accepted work survives a power cut; false is faster"},
		},
	},
	{
		name: "local-only", single: true, build: buildLocalOnly,
		help: "Run without any link to other nodes.",
		keys: []keySpec{{name: "local", typ: boolType, help: "Needed in version 2 files, ignored elsewhere"}},
	},
	{name: "version", exclusive: true, noMap: true, build: buildVersion, help: "Print the version and end."},
	{
		name: "log-level", single: true, build: buildLog,
		help: "What is logged. Without it the level is info.",
		keys: []keySpec{
			{name: "level", typ: levelType, bare: true, def: "error", help: "error, warning, info or debug"},
			{name: "format", typ: formatType, def: LogText, ours: true, help: "text or json"},
		},
	},
	{name: "trace", mapOne: true, build: buildTrace, help: "Logs every packet that the node sends, receives or passes on, without its content, whatever the log level is."},
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
			{name: "accessrules", typ: accessType, ours: true, help: "Who may do what (default: everyone everything; an empty list: nobody)"},
		},
	},
	{
		name: "audit-log", single: true, ours: true, build: buildAuditLog,
		help: "Keep a record of who asked for what, and what came of it.",
		keys: []keySpec{
			{name: "filename", typ: textType, required: true, bare: true, ours: true, help: "File to append to, one JSON object per line"},
			{name: "permissions", typ: modeType, ours: true, def: "0600", help: "Mode of the file if it is made, octal with a leading 0"},
			{name: "reads", typ: boolType, ours: true, def: "false", help: "Also requests that only read: results, lists, status, ping, traceroute"},
		},
	},
	{
		name: "metrics", single: true, ours: true, build: buildMetrics,
		help: "Serve metrics and the state of health over HTTP, to everyone who can connect.",
		keys: []keySpec{
			{name: "address", typ: localListenType, bare: true, ours: true, def: "127.0.0.1:7324", help: "PORT, on 127.0.0.1, or HOST:PORT to listen on"},
		},
	},
	{
		name: "tls-server", group: tlsGroup, build: buildTLSServer,
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
		name: "tls-client", group: tlsGroup, build: buildTLSClient,
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
		name: "tcp-listener", group: linkGroup, build: buildListener(TCP), help: "Accept links over TCP.",
		keys: []keySpec{bindaddrKey, portKey, serverTLSKey, costKey, nodecostKey, allowedpeersKey},
	},
	{
		name: "tcp-peer", group: linkGroup, build: buildPeer(TCP), help: "Dial a link over TCP.",
		keys: []keySpec{addressKey, redialKey, clientTLSKey, costKey, allowedpeersKey},
	},
	{
		name: "udp-listener", group: linkGroup, build: buildListener(UDP), help: "Accept links over UDP.",
		keys: []keySpec{bindaddrKey, portKey, costKey, nodecostKey, allowedpeersKey},
	},
	{
		name: "udp-peer", group: linkGroup, build: buildPeer(UDP), help: "Dial a link over UDP.",
		keys: []keySpec{addressKey, redialKey, costKey, allowedpeersKey},
	},
	{
		name: "ws-listener", group: linkGroup, build: buildListener(WebSocket), help: "Accept links over WebSocket.",
		keys: []keySpec{
			bindaddrKey, portKey,
			{name: "path", typ: textType, def: "/", help: "HTTP path; / accepts every path"},
			serverTLSKey, costKey, nodecostKey, allowedpeersKey,
		},
	},
	{
		name: "ws-peer", group: linkGroup, build: buildPeer(WebSocket), help: "Dial a link over WebSocket.",
		keys: []keySpec{
			{name: "address", typ: urlType, required: true, bare: true, help: "URL: ws://HOST:PORT/PATH or wss://"},
			redialKey,
			{name: "extraheader", typ: textType, help: "Header to send, as in \"Name: value\""},
			clientTLSKey, costKey, allowedpeersKey,
		},
	},
	{
		name: "command-service", group: serviceGroup, build: buildCommandService,
		help: "Run a command on a terminal for each connection to a mesh service.",
		keys: []keySpec{
			serviceKey,
			{name: "command", typ: textType, required: true, help: "Program and arguments, split like a shell would"},
			serverTLSKey,
		},
	},
	{
		name: "ip-router", group: serviceGroup, mapName: "iprouters", build: buildIPRouter,
		help: "Route IP packets over the mesh.",
		keys: []keySpec{
			{name: "networkname", typ: textType, required: true, help: "Name of the network and of the mesh service, at most 8 bytes"},
			{name: "interface", typ: textType, help: "Name of the tun device"},
			{name: "localnet", typ: subnetType, required: true, help: "Local network, IPv4 with /30"},
			{name: "routes", typ: routesType, help: "Networks to announce, as in 10.1.0.0/16,10.2.0.0/16, without blanks"},
		},
	},
	{
		name: "tcp-server", group: serviceGroup, build: buildTCPServer,
		help: "Listen on a TCP port and carry connections to a service of another node.",
		keys: []keySpec{
			servedPortKey, bindaddrKey, remotenodeKey, remoteserviceKey,
			{name: "tlsserver", typ: textType, help: "Name of a tls-server for the TCP port"},
			{name: "tlsclient", typ: textType, help: "Name of a tls-client for the mesh side"},
		},
	},
	{
		name: "tcp-client", group: serviceGroup, build: buildTCPClient,
		help: "Offer a mesh service and carry its connections to a TCP address.",
		keys: []keySpec{
			serviceKey,
			{name: "address", typ: addressType, required: true, help: "HOST:PORT to connect to"},
			{name: "tlsserver", typ: textType, help: "Name of a tls-server for the mesh side"},
			{name: "tlsclient", typ: textType, help: "Name of a tls-client for the TCP side"},
		},
	},
	{
		name: "udp-server", group: serviceGroup, build: buildUDPServer,
		help: "Listen on a UDP port and carry datagrams to a service of another node.",
		keys: []keySpec{servedPortKey, bindaddrKey, remotenodeKey, remoteserviceKey},
	},
	{
		name: "udp-client", group: serviceGroup, build: buildUDPClient,
		help: "Offer a mesh service and carry its datagrams to a UDP address.",
		keys: []keySpec{
			serviceKey,
			{name: "address", typ: addressType, required: true, help: "HOST:PORT to send to"},
		},
	},
	{
		name: "unix-socket-server", group: serviceGroup, build: buildUnixServer,
		help: "Listen on a Unix socket and carry connections to a service of another node.",
		keys: []keySpec{
			{name: "filename", typ: textType, required: true, help: "Unix socket"},
			{name: "permissions", typ: modeType, def: "0600", help: "Mode of the Unix socket, octal with a leading 0"},
			remotenodeKey, remoteserviceKey, clientTLSKey,
		},
	},
	{
		name: "unix-socket-client", group: serviceGroup, build: buildUnixClient,
		help: "Offer a mesh service and carry its connections to a Unix socket.",
		keys: []keySpec{
			serviceKey,
			{name: "filename", typ: textType, required: true, help: "Unix socket to connect to"},
			serverTLSKey,
		},
	},
	{
		name: "work-signing", group: workGroup, single: true, build: buildWorkSigning, help: "Sign work submitted to other nodes.",
		keys: []keySpec{
			{name: "privatekey", typ: textType, bare: true, help: "Private key, PEM file: RSA, ECDSA or Ed25519"},
			{name: "tokenexpiration", typ: durationType, def: "5m", help: "Lifetime of a signature, as in 1h30m"},
		},
	},
	{
		name: "work-verification", group: workGroup, single: true, build: buildWorkVerification, help: "Verify the signatures of work.",
		keys: []keySpec{
			{name: "publickey", typ: textType, bare: true, help: "Public key, PEM file: RSA, ECDSA or Ed25519"},
			{name: "strict", typ: boolType, def: "false", ours: true, help: "Take no signature that does not say what work it is for, as those of ansible/receptor nodes"},
		},
	},
	{
		name: "work-command", group: workGroup, build: buildWorkCommand, help: "Offer to run a command as work.",
		keys: []keySpec{
			{name: "worktype", typ: textType, required: true, help: "Name of this type of work, unique on the node"},
			{name: "command", typ: textType, required: true, help: "Program to run"},
			{name: "params", typ: textType, help: "Arguments, split like a shell would"},
			{name: "allowruntimeparams", typ: boolType, def: "false", help: "Submitters may add arguments"},
			{name: "verifysignature", typ: boolType, def: "false", help: "Demand a signature; needs work-verification"},
			{name: "stderr", typ: stderrType, def: "mixed", ours: true, help: "Error output: mixed into the output, or separate; submitters may choose"},
			maxunitsKey, maxruntimeKey, maxoutputKey, keepforKey, keepcountKey,
		},
	},
	{
		name: "work-kubernetes", group: workGroup, mapName: "work-kubernetes", build: buildWorkKubernetes,
		help: "Offer to run pods as work.",
		keys: []keySpec{
			{name: "worktype", typ: textType, required: true, help: "Name of this type of work, unique on the node"},
			{name: "namespace", typ: textType, help: "Namespace of the pods; needed unless authmethod is kubeconfig or allowruntimeauth is set"},
			{name: "image", typ: textType, help: "Container image"},
			{name: "command", typ: textType, help: "Command to run in the container"},
			{name: "params", typ: textType, help: "Arguments of the command"},
			{name: "authmethod", typ: authType, def: AuthInCluster, help: "kubeconfig, incluster or runtime"},
			{name: "kubeconfig", typ: textType, help: "Kubeconfig file, for authmethod kubeconfig"},
			{name: "pod", typ: textType, help: "Pod definition file, in place of image, command and params"},
			{name: "allowruntimeauth", typ: boolType, def: "false", help: "Submitters may bring a kubeconfig and a namespace"},
			{name: "allowruntimecommand", typ: boolType, def: "false", help: "Submitters may name image and command"},
			{name: "allowruntimeparams", typ: boolType, def: "false", help: "Submitters may add arguments"},
			{name: "allowruntimepod", typ: boolType, def: "false", help: "Submitters may bring a pod definition"},
			{name: "deletepodonrestart", typ: boolType, def: "true", help: "Delete the pods of units that are resumed after a restart"},
			{name: "streammethod", typ: streamType, def: StreamLogger, help: "How output is read: logger or tcp"},
			{name: "verifysignature", typ: boolType, def: "false", help: "Demand a signature; needs work-verification"},
		},
	},
	{
		name: "work-python", group: workGroup, build: buildWorkPython,
		help: "Offer to run a Python plugin as work.",
		keys: []keySpec{
			{name: "worktype", typ: textType, required: true, help: "Name of this type of work, unique on the node"},
			{name: "plugin", typ: textType, required: true, help: "Entry point of the group receptor.worker, or a Python module"},
			{name: "function", typ: textType, required: true, help: "Function of the plugin, which must export it"},
			{name: "config", typ: dictType, help: "Settings that the function gets"},
			{name: "verifysignature", typ: boolType, def: "false", ours: true, help: "Demand a signature; needs work-verification"},
			{name: "stderr", typ: stderrType, def: "separate", ours: true, help: "Error output: mixed into the output, or separate; submitters may choose"},
			maxunitsKey, maxruntimeKey, maxoutputKey, keepforKey, keepcountKey,
		},
	},
	{
		name: "command-runner", group: workGroup, hidden: true, noMap: true, build: buildCommandRunner,
		help: "Run one command as a unit; ansible/receptor starts itself so.",
		keys: []keySpec{
			{name: "command", typ: textType, required: true, help: "Program"},
			{name: "params", typ: textType, required: true, help: "Arguments"},
			{name: "unitdir", typ: textType, required: true, help: "Directory of the unit"},
		},
	},
	{
		name: "cert-init", group: certGroup, exclusive: true, mapOne: true, build: buildCertInit,
		help: "Make a certificate authority and end.",
		keys: []keySpec{
			{name: "commonname", typ: textType, required: true, help: "Name of the authority"},
			{name: "bits", typ: bitsType, required: true, help: "Size of the RSA key in bits; 0 is 2048"},
			notbeforeKey,
			{name: "notafter", typ: timeType, help: "End of the validity, as in 2036-01-02T15:04:05Z (default: in 10 years)"},
			outcertKey,
			{name: "outkey", typ: textType, required: true, help: "File to write the private key to"},
		},
	},
	{
		name: "cert-makereq", group: certGroup, exclusive: true, build: buildCertRequest,
		help: "Make a certificate request and end.",
		keys: []keySpec{
			{name: "commonname", typ: textType, required: true, help: "Name in the request; not used for verification"},
			{name: "bits", typ: bitsType, help: "Size of the new RSA key in bits; needed with outkey"},
			{name: "dnsname", typ: textsType, help: "DNS names"},
			{name: "ipaddress", typ: textsType, help: "IP addresses"},
			{name: "nodeid", typ: textsType, help: "Node IDs, at most 255 bytes each"},
			{name: "outreq", typ: textType, required: true, help: "File to write the request to"},
			{name: "inkey", typ: textType, help: "RSA key to use, PEM file"},
			{name: "outkey", typ: textType, help: "File to write a new key to"},
		},
	},
	{
		name: "cert-signreq", group: certGroup, exclusive: true, build: buildCertSigning,
		help: "Sign a certificate request and end.",
		keys: []keySpec{
			{name: "req", typ: textType, required: true, help: "Request, PEM file"},
			{name: "cacert", typ: textType, required: true, help: "Certificate of the authority, PEM file"},
			{name: "cakey", typ: textType, required: true, help: "Private key of the authority, PEM file"},
			notbeforeKey,
			{name: "notafter", typ: timeType, help: "End of the validity, as in 2036-01-02T15:04:05Z (default: in a year)"},
			outcertKey,
			{name: "verify", typ: boolType, def: "false", help: "The request is known to be good: do not ask"},
		},
	},
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

	servedPortKey    = keySpec{name: "port", typ: portType, required: true, help: "Local port, 0 to 65535; 0 lets the system pick"}
	remotenodeKey    = keySpec{name: "remotenode", typ: textType, required: true, help: "Node to carry to"}
	remoteserviceKey = keySpec{name: "remoteservice", typ: textType, required: true, help: "Service of that node, at most 8 bytes"}
	serviceKey       = keySpec{name: "service", typ: textType, required: true, help: "Mesh service name, at most 8 bytes"}

	maxunitsKey   = keySpec{name: "maxunits", typ: countType, ours: true, help: "Commands that run at a time, further units wait; 0 for no limit"}
	maxruntimeKey = keySpec{name: "maxruntime", typ: spanType, ours: true, help: "Time that a command may run, as in 90m or 2d; 0 for no limit"}
	maxoutputKey  = keySpec{name: "maxoutput", typ: sizeType, ours: true, help: "Output of a unit in bytes, or with K, M, G, KiB, MiB, GiB; 0 for no limit"}
	keepforKey    = keySpec{name: "keepfor", typ: spanType, ours: true, help: "Release units so long after their end, as in 12h or 7d; 0 keeps them"}
	keepcountKey  = keySpec{name: "keepcount", typ: countType, ours: true, help: "Keep so many ended units, the newest; 0 keeps all"}

	notbeforeKey = keySpec{name: "notbefore", typ: timeType, help: "Begin of the validity, as in 2026-01-02T15:04:05Z (default: now)"}
	outcertKey   = keySpec{name: "outcert", typ: textType, required: true, help: "File to write the certificate to"}
)
