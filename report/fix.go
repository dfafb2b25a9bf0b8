package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"relaysweep/probe"
)

// Fix is what closes a finding.
type Fix struct {
	Server   []string // steps on the server, with the names of the product's settings
	Firewall []string // steps at the opening
	Source   string   // the documents that the steps were taken from
}

// product is a row of the table of fixes: what closes a relay on that product.
type product struct {
	key    string
	match  []string // parts of the fingerprint's vendor and product, lower case
	kind   string   // or its kind
	name   string   // as a reader knows it
	steps  []step
	on     string // key of the product that it is made of, whose steps follow
	tls    string // how to switch old TLS off
	auth   string // how to offer AUTH after TLS only
	source string
}

// step is one thing to do. when lists the vectors that it closes, R for all route forms; empty: always.
type step struct{ when, text string }

// Vectors with a cause in common.
const (
	whenNet    = "S1 S8 S10" // nothing was claimed: the client's address, or nobody's, was enough
	whenSender = "S3 S4 S5 S6 S7 S9"
	whenNull   = "S2"
	whenHELO   = "I1"
	whenRoute  = "R"
)

// products is searched in order; the last row fits everything. Facts: EXPOSURE.md 5 in the project's notes, and the
// documents named in each row.
var products = []product{
	{
		key: "postfix", match: []string{"postfix"}, name: "Postfix",
		steps: []step{
			{"", "See what is set: postconf -n | grep -E 'relay|mynetworks|recipient_restrictions|compatibility'"},
			{"", "In main.cf: smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination. Let nothing that permits stand before the last, there or in smtpd_recipient_restrictions."},
			{whenNet, "Set mynetworks to the hosts that must send through this server, and no more. Where it is not set, mynetworks_style decides: use host, never class, and subnet only where the whole subnet is yours."},
			{whenNet, "relay_domains names only the domains that this server forwards for. permit_mx_backup needs permit_mx_backup_networks."},
			{whenNet, "After an upgrade: search the log for \"using backwards-compatible default\". Below 1, compatibility_level leaves smtpd_relay_restrictions empty; below 2 it keeps mynetworks_style = subnet and relay_domains = $mydestination. Set the three by hand, then raise it: postconf compatibility_level=3.6"},
			{whenSender, "A check_sender_access table that answers OK, or a permit that follows from the sender, stands before reject_unauth_destination. Move it behind: anyone can write your domain into MAIL FROM."},
			{whenNull, "A check_sender_access entry for <> (smtpd_null_access_lookup_key) answers OK before reject_unauth_destination. Remove it: bounces need no permission to relay."},
			{whenHELO, "A check_helo_access table permits a name before reject_unauth_destination, which is open to everyone who claims that name. Move it behind, or let it answer DUNNO."},
			{"I7", "Compare the -o lines of smtps and submission in master.cf: an override of smtpd_relay_restrictions or smtpd_recipient_restrictions there holds for that listener alone."},
			{whenRoute, "Keep allow_untrusted_routing = no and resolve_dequoted_address = yes. On a gateway, list what exists behind it in relay_recipient_maps, and let the inner server not trust the gateway to relay: it takes user%domain and \"user@domain\" apart again."},
		},
		tls:    "smtpd_tls_protocols = >=TLSv1.2 and smtpd_tls_mandatory_protocols = >=TLSv1.2 (before 3.6: !SSLv2, !SSLv3, !TLSv1, !TLSv1.1)",
		auth:   "smtpd_tls_auth_only = yes",
		source: "Postfix: postconf(5), SMTPD_ACCESS_README, COMPATIBILITY_README",
	},
	{
		key: "postfix-based", match: []string{"zimbra", "mailcow", "mail-in-a-box", "proxmox mail gateway", "mailplus", "interscan messaging"}, name: "a product made with Postfix", on: "postfix",
		steps: []step{
			{"", "It runs Postfix under a management of its own: change its trusted networks and relay domains there, as main.cf is written anew from them. What to look for:"},
		},
		source: "the product's own documentation; Postfix: postconf(5), SMTPD_ACCESS_README, COMPATIBILITY_README",
	},
	{
		key: "exim", match: []string{"exim"}, name: "Exim",
		steps: []step{
			{"", "Ask Exim what it does with a stranger, without sending: exim -bh ADDRESS-OF-A-STRANGER, then EHLO, MAIL and RCPT. It prints the ACL line that accepts."},
			{"", "acl_smtp_rcpt ends in this order: accept hosts = +relay_from_hosts; accept authenticated = *; require message = relay not permitted, domains = +local_domains : +relay_to_domains. Nothing accepts before."},
			{whenNet, "hostlist relay_from_hosts holds only the hosts that must send through this server (default: localhost). On Debian: dc_relay_nets in /etc/exim4/update-exim4.conf.conf."},
			{whenNet, "domainlist relay_to_domains holds no * and only domains that this server forwards for. On Debian: dc_relay_domains."},
			{whenSender, "An accept with senders = or sender_domains = stands before the relay check. Remove it, or add authenticated = * or hosts = +relay_from_hosts to it: anyone can write your domain into MAIL FROM."},
			{whenNull, "An accept with senders = : lets the null sender pass before the relay check. Move it behind: bounces need no permission to relay."},
			{whenHELO, "A condition on $sender_helo_name accepts. Remove it: anyone can claim a name."},
			{"I7", "A condition on $tls_in_cipher, $received_port or $interface_port accepts without authentication on that listener. Add authenticated = * to it."},
			{whenRoute, "Leave percent_hack_domains unset and keep the deny for local parts with @ % ! / | (the default ACL has it). On a gateway, verify recipients with a callout, and let the inner server not trust the gateway to relay."},
		},
		tls:    "openssl_options = +no_sslv2 +no_sslv3 +no_tlsv1 +no_tlsv1_1 (GnuTLS: tls_require_ciphers = NORMAL:-VERS-TLS1.0:-VERS-TLS1.1)",
		auth:   "auth_advertise_hosts = ${if eq {$tls_in_cipher}{}{}{*}}",
		source: "Exim: specification (access control lists, exim -bh), src/configure.default",
	},
	{
		key: "sendmail", match: []string{"sendmail"}, name: "Sendmail",
		steps: []step{
			{"", "Before 8.9 sendmail relays unless it is told not to: upgrade. From 8.9 on relaying is denied until a FEATURE, a class or the access database permits it."},
			{whenNet, "Remove FEATURE(`promiscuous_relay') and FEATURE(`relay_based_on_MX') from the .mc file. With FEATURE(`relay_entire_domain') look at what is in class m."},
			{whenNet, "/etc/mail/relay-domains and the RELAY lines of /etc/mail/access name only your own hosts and nets. Write Connect: or To: before each: a line without a tag counts for both."},
			{whenSender, "Remove FEATURE(`relay_local_from') and FEATURE(`relay_mail_from'): they relay for whoever writes your domain into MAIL FROM."},
			{whenNull, "With FEATURE(`relay_mail_from') a line From:<> RELAY in the access database lets every bounce pass. Remove it."},
			{whenHELO, "Take local rules on $s (the HELO name) out of Local_check_rcpt: anyone can claim a name."},
			{"I7", "Look at CERTIssuer: and CERTSubject: RELAY lines in the access database, and at M= of that DAEMON_OPTIONS line."},
			{whenRoute, "Remove FEATURE(`loose_relay_check'). Set FEATURE(`nouucp', `reject') on the gateway and the inner server alike, and let the inner server not trust the gateway to relay."},
			{"", "Rebuild sendmail.cf and the maps (make -C /etc/mail), then restart. A host that need not receive: DAEMON_OPTIONS(`Port=smtp, Addr=127.0.0.1, Name=MTA')."},
		},
		tls:    "define(`confSERVER_SSL_OPTIONS', `+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1')",
		auth:   "define(`confAUTH_OPTIONS', `A p'): p keeps PLAIN and LOGIN back until TLS is active",
		source: "Sendmail: cf/README (anti-spam configuration control)",
	},
	{
		key: "exchange", match: []string{"exchange"}, name: "Microsoft Exchange Server",
		steps: []step{
			{"", "Find the connector: Get-ReceiveConnector | Get-ADPermission | where {$_.ExtendedRights -like \"*Accept-Any-Recipient*\"} and Get-ReceiveConnector | fl Name,Bindings,RemoteIPRanges,PermissionGroups,AuthMechanism"},
			{"", "Take the right away: Get-ReceiveConnector \"SERVER\\CONNECTOR\" | Remove-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights \"Ms-Exch-SMTP-Accept-Any-Recipient\""},
			{whenNet, "A connector with AuthMechanism ExternalAuthoritative and PermissionGroups ExchangeServers trusts every address of its RemoteIPRanges. Narrow the ranges to single hosts; 0.0.0.0-255.255.255.255 is an open relay."},
			{whenNet, "Devices that must relay get a connector of their own, Front End, with their addresses alone in RemoteIPRanges. Never add the right to a Default connector. If a NAT or load balancer hides clients, its address must not be among them."},
			{whenSender, "An accepted domain of the sender gives no right to relay. Look for a transport agent or a Partner connector that permits by sender, and remove it."},
			{"I7", "Compare the Client Frontend (587) and Client Proxy (465) connectors with the default ones: AnonymousUsers does not belong in their PermissionGroups."},
			{whenRoute, "Recipients of the form IMCEASMTP-… or user%domain belong to no accepted domain. Look for an accepted domain * or an InternalRelay domain whose inner server takes them apart."},
		},
		tls:    "switch TLS 1.0 and 1.1 off in SCHANNEL (registry), as in Microsoft's Exchange Server TLS configuration guidance",
		auth:   "AuthMechanism BasicAuthRequireTLS instead of BasicAuth on that connector",
		source: "Microsoft Learn: Allow anonymous relay on Exchange servers; Set-ReceiveConnector",
	},
	{
		key: "iis", match: []string{"iis", "microsoft esmtp", "microsoft smtp", "windows smtp"}, name: "the SMTP service of Windows Server (IIS 6)",
		steps: []step{
			{"", "Ask who needs it: the service is often left over from a web application. If nobody does, remove the feature SMTP Server."},
			{"", "IIS 6.0 Manager, Default SMTP Virtual Server, Properties, Access, Relay: choose Only the list below, name single hosts, and clear Allow all computers which successfully authenticate where no login is used."},
			{whenNet, "If only the host itself sends: Access, Connection: Only the list below, 127.0.0.1."},
			{whenSender, "A remote domain marked Allow incoming mail to be relayed to this domain opens that domain to all: look under Domains."},
			{whenRoute, "Encapsulated and percent addresses were relayed by versions before MS99-027: this one cannot be put right, replace it."},
		},
		tls:    "switch TLS 1.0 and 1.1 off in SCHANNEL (registry)",
		auth:   "Properties, Access, Authentication: require TLS encryption with Basic authentication",
		source: "Microsoft: SMTP Virtual Server properties, Access; security bulletin MS99-027",
	},
	{
		key: "opensmtpd", match: []string{"opensmtpd"}, name: "OpenSMTPD",
		steps: []step{
			{"", "In smtpd.conf: match from local for any action \"relay\", and for logged-in users match auth from any for any action \"relay\". No other rule relays. Check it: smtpd -n"},
			{whenNet, "Remove match from any for any action \"relay\" (before 6.4: accept from any for any relay), and narrow from src to single hosts."},
			{whenNet, "If the host need not receive: listen on localhost, or listen on lo0."},
			{whenSender, "mail-from in a relay rule permits whoever writes that sender. Add auth to the rule."},
			{whenNull, "A relay rule with mail-from \"\" or \"<>\" matches everyone's bounces. Remove it."},
			{whenHELO, "helo in a relay rule permits whoever claims that name. Remove it."},
			{"I7", "tag and tls in a relay rule hold for one listener and prove nothing of the client. Add auth."},
			{whenRoute, "for domain with a catch-all takes \"user%domain\" as a local name: list the existing users. On a gateway, let the inner server not trust it to relay."},
		},
		tls:    "listen on … tls protocols \"tlsv1.2,tlsv1.3\", where smtpd.conf(5) knows it; else upgrade",
		auth:   "listen on … tls-require auth",
		source: "OpenSMTPD: smtpd.conf(5)",
	},
	{
		key: "domino", match: []string{"domino", "lotus"}, name: "HCL Domino",
		steps: []step{
			{"", "Configuration Settings document, Router/SMTP, Restrictions and Controls, SMTP Inbound Controls."},
			{"", "Inbound Relay Controls: deny relaying to all external domains (*) and for all hosts (*), and allow only the hosts that must send through this server."},
			{"", "Inbound Relay Enforcement: Perform Anti-Relay enforcement for these connecting hosts: All connecting hosts. With External hosts, whoever resolves to a local domain, or comes through a NAT that does, is let through. Empty Exclude these connecting hosts from anti-relay checks."},
			{"", "notes.ini SMTPRelayHostsandDomains: 0 lets Allow win over Deny, 1 lets Deny win. Check which of the two your lists were written for."},
			{whenSender, "Relaying does not depend on the sender there. Look for a mail rule or an anti-spam add-in that permits by sender."},
			{"I7", "Server document, Ports, Internet Ports, Mail: the SSL port has its own Name & password and Anonymous settings."},
			{whenRoute, "Look for a Global Domain or Foreign SMTP Domain document that passes user%domain or \"user@domain\" on, and verify that local domain recipients exist in the Domino Directory."},
		},
		tls:    "notes.ini SSL_DISABLE_TLS_10=1, and upgrade",
		auth:   "Server document, Ports, Internet Ports, Mail: Name & password No on the TCP/IP port, Yes on the SSL port",
		source: "HCL Domino Administrator help: setting inbound relay controls; how inbound anti-relay settings control message transfer",
	},
	{
		key: "qmail", match: []string{"qmail"}, name: "qmail",
		steps: []step{
			{whenNet, "control/rcpthosts must exist: without it qmail takes mail for any recipient. List the domains that this server receives for (qmail-showctl shows what holds)."},
			{whenNet, "In the tcpserver rules (tcp.smtp) RELAYCLIENT=\"\" stands only on lines of your own hosts, never on the last :allow. Rebuild with tcprules."},
			{whenSender, "Plain qmail knows no permission by sender: look for a patch, a wrapper (spamdyke) or a tcpserver rule that sets RELAYCLIENT."},
			{"I7", "Compare the run scripts of the listeners: one of them sets RELAYCLIENT, or has an SMTP AUTH patch whose last argument is true."},
			{whenRoute, "control/percenthack must not exist. qmail takes recipients first and bounces later: install a recipient check (validrcptto, chkuser)."},
			{"", "QMTP and QMQP (ports 209 and 628) have rules of their own: look at them too."},
		},
		tls:    "upgrade OpenSSL; control/tlsserverciphers without old suites",
		auth:   "use a build whose SMTP AUTH waits for TLS (notqmail with the TLS patch)",
		source: "qmail: qmail-smtpd(8), qmail-showctl(8), tcprules(1)",
	},
	{
		key: "hmailserver", match: []string{"hmailserver"}, name: "hMailServer",
		steps: []step{
			{"", "Settings, Advanced, IP Ranges: look at the range with the highest priority that holds the stranger's address. It alone decides."},
			{whenNet, "Allow deliveries from External to external e-mail addresses: off in every range. Require SMTP authentication for Local to external and External to external: on."},
			{whenSender, "Allow deliveries from Local to external goes by MAIL FROM, which anyone can forge: require SMTP authentication for it, in the Internet range and in My computer alike."},
			{whenNull, "The null sender counts as external: External to external must be off."},
			{whenRoute, "Settings, Advanced, Routes: a route whose recipients are treated as local passes odd forms on. Let it name the existing addresses."},
		},
		tls:    "Settings, Advanced, SSL/TLS: TLS 1.2 and later only",
		auth:   "Settings, Advanced, TCP/IP ports: STARTTLS (Required); and clear Allow plain text authentication",
		source: "hMailServer documentation: IP ranges",
	},
	{
		key: "device", match: []string{"printer", "imagerunner", "bizhub", "workio"}, name: "a printer or scanner",
		steps: []step{
			{"", "Switch receiving by SMTP off in the device's network settings: printing by mail and Internet fax alone need it."},
			{"", "If it is needed, switch relaying (SMTP gateway, off-ramp) off, and let the device take connections from your own mail server alone."},
		},
		tls:    "the device's security settings, or new firmware",
		auth:   "the device's security settings",
		source: "the device's own documentation",
	},
	{
		key: "gateway", match: []string{"email security", "email gateway", "fortimail", "email appliance", "email protection", "messaging gateway", "mail security", "viruswall", "firewall", "mailsweeper", "webshield", "proxsmtp", "smtp inspection"}, name: "a mail gateway",
		steps: []step{
			{"", "A gateway takes mail for listed domains and passes on what listed hosts send. Find both lists; what neither names must be refused (Cisco: Recipient Access Table, All Other Recipients: Reject; HAT: sender group RELAYLIST)."},
			{whenNet, "Narrow the list of sending hosts to single addresses. If a NAT or load balancer stands in front, its address must not be on it."},
			{"", "The gateway may hand every decision to a server behind it. Then test that one from the gateway's network too: it must not trust the gateway to relay."},
			{whenSender + " " + whenNull + " " + whenHELO, "Take out whatever permits by sender or HELO name: both can be forged."},
			{whenRoute, "Let it refuse %, !, quotes and a second @ in local parts, and check recipients against the directory."},
		},
		tls:    "the gateway's TLS settings, or a newer version of it",
		auth:   "the gateway's settings of the listener",
		source: "the product's own documentation; Cisco Secure Email user guide: Recipient Access Table, Host Access Table",
	},
	{
		key: "library", kind: "library", match: []string{"mailcatcher"}, name: "a mail server made with a library",
		steps: []step{
			{"", "Find the program: such a server is part of an application. Its author decides who may relay, and most write no check."},
			{"", "Refuse at RCPT every recipient outside the domains that the program is for, before anything else is looked at."},
			{whenNet, "If only programs on the same host use it, bind it to 127.0.0.1; else let it ask for authentication."},
			{whenSender + " " + whenNull + " " + whenHELO, "Take out whatever permits by sender or HELO name: both can be forged."},
			{whenRoute, "Split addresses at the last @, and refuse quoted local parts, %, ! and source routes."},
		},
		tls:    "let the program ask for TLS 1.2 as its minimum",
		auth:   "let the program require TLS before AUTH (aiosmtpd: auth_require_tls=True)",
		source: "RFC 5321 3.6; the library's own documentation",
	},
	{
		key: "", name: "this mail server",
		steps: []step{
			{"", "Find the rule by which it took a foreign recipient, and put the relay check before every rule that permits: relay only for listed client addresses, for authenticated users, and to the domains that it serves (RFC 2505 2.1)."},
			{whenNet, "Look at its list of trusted networks and of relay domains. A list that holds everything, or the address of a NAT or proxy in front of it, trusts everyone."},
			{whenSender, "It permits by the sender's address, which anyone can forge. Remove that permission, or ask for authentication."},
			{whenNull, "It does not check mail with the null sender. Bounces need no permission to relay."},
			{whenHELO, "It permits by the HELO name, which anyone can claim. Remove that permission."},
			{"I7", "Its rules hold before TLS, or on other listeners, and not on this one. Give all of them the same rules."},
			{whenRoute, "It takes an address with a route in it (%, !, quotes, two @) for its own. Refuse such forms, and let no inner server trust it to relay."},
		},
		tls:    "let it speak TLS 1.2 and later only",
		auth:   "let it offer AUTH after STARTTLS only",
		source: "RFC 2505 2.1, RFC 5321 3.6",
	},
}

// productOf finds the row of a service.
func productOf(f *probe.Finding) *product {
	name := strings.ToLower(f.Service.Vendor + " " + f.Service.Product)
	for i := range products {
		p := &products[i]
		if p.kind != "" && p.kind == f.Service.Kind || p.key == "" || slices.ContainsFunc(p.match, func(m string) bool { return strings.Contains(name, m) }) {
			return p
		}
	}
	return nil // not reached: the last row has no key
}

// base is the row of the product that a product is made of, or nil.
func (p *product) base() *product {
	if i := slices.IndexFunc(products, func(q product) bool { return p.on != "" && q.key == p.on }); i >= 0 {
		return &products[i]
	}
	return nil
}

// meanings says what it shows that the first vectors got through. Where a plain stranger got through, the others show
// nothing more.
func meanings(vectors []string) []string {
	if slices.Contains(vectors, "S1") {
		vectors = []string{"S1"}
	}
	var out []string
	for _, v := range probe.Vectors() {
		if slices.Contains(vectors[:min(3, len(vectors))], v.ID) {
			out = append(out, v.ID+": "+v.Catches)
		}
	}
	return out
}

// fixFor picks what closes an entry.
func fixFor(e *Entry, s *Scan, inside bool) Fix {
	p := productOf(&e.Finding)
	f := Fix{Source: p.source}
	switch {
	case e.exposed(), e.mayRelay():
		f.Server = p.relaySteps(e.Vectors)
		if e.mayRelay() {
			f.Server = append([]string{"Let it refuse local names that do not exist, so that route forms can be told from them; then test again with stop_at: delivered."}, f.Server...)
		}
	case e.Class == probe.Sink:
		f = sinkFix(e, p)
	case e.Class == probe.Undetermined && spoken(&e.Finding):
		return Fix{Server: judgeSteps(e, s)}
	case len(e.Weak) > 0:
		f.Server = p.weakSteps(&e.Finding, s)
		return f
	default:
		return Fix{}
	}
	f.Firewall = firewallSteps(e, s, inside)
	return f
}

// relaySteps picks a product's steps for the vectors that got through. Where a plain stranger gets through, what the
// other vectors claim proves nothing, so their steps are left out.
func (p *product) relaySteps(vectors []string) []string {
	if slices.Contains(vectors, "S1") {
		vectors = []string{"S1"}
	}
	var out []string
	for _, s := range p.steps {
		if s.when == "" || slices.ContainsFunc(vectors, s.closes) {
			out = append(out, s.text)
		}
	}
	if on := p.base(); on != nil {
		out = append(out, on.relaySteps(vectors)...)
	}
	return out
}

func (s step) closes(vector string) bool {
	words := strings.Fields(s.when)
	return slices.Contains(words, vector) || strings.HasPrefix(vector, whenRoute) && slices.Contains(words, whenRoute)
}

// weakSteps is what puts old TLS, clear-text passwords and old versions right.
func (p *product) weakSteps(f *probe.Finding, s *Scan) []string {
	name := p.name
	if on := p.base(); on != nil {
		p = on
	}
	var out []string
	if f.TLS != nil && f.TLS.Legacy {
		out = append(out, "Switch TLS 1.0 and 1.1 off: "+p.tls+".")
	}
	if clearTextAuth(f) {
		out = append(out, "Offer AUTH after STARTTLS only: "+p.auth+".")
	}
	if outOfSupport(f, s.time()) != "" {
		out = append(out, "Bring "+name+" to a supported version, and test it for relaying again afterwards.")
	}
	return out
}

func sinkFix(e *Entry, p *product) Fix {
	if e.Finding.Service.Kind == "sink" || e.Finding.Nonsense.Positive() {
		return Fix{
			Server: []string{
				"Find out whose it is. A test server that nobody remembers collects what is sent to it, and shows it to everyone who can reach its web page.",
				"If nobody needs it, stop it. Else bind it to 127.0.0.1 or to the test network.",
				"Check that it has no release or forward function configured: with one, a sink sends mail on.",
			},
			Source: "the product's own documentation",
		}
	}
	return Fix{
		Server: append([]string{"Look into its queue for the canary. If it waits there, the server relays and only its way out is closed: the steps below close it."}, p.relaySteps(e.Vectors)...),
		Source: p.source,
	}
}

// judgeSteps is what lets the next test of a service come to a verdict.
func judgeSteps(e *Entry, s *Scan) []string {
	var out []string
	lookedUp := slices.ContainsFunc(e.tries, func(t try) bool { return strings.Contains(t.reason, "domain was not found") })
	if lookedUp && s.CanaryDomain == "" {
		out = append(out, "It looks the recipient's domain up before it decides: configure a canary domain, one that exists and whose mail ends at your own sink (canary.domain).")
	}
	if !lookedUp || s.CanaryDomain != "" {
		out = append(out, "Let this scan's address past bans, block lists and greylisting.")
	}
	return append(out, "Then test it again: relaysweep probe "+e.Finding.Addr.String())
}

// firewallSteps is what can be done at the opening.
func firewallSteps(e *Entry, s *Scan, inside bool) []string {
	endpoint, port := e.Finding.Addr.String(), e.Finding.Addr.Port()
	from := "outside"
	if inside {
		from = "the inside"
	}
	if e.Finding.Vantage != "" && e.Finding.Vantage != "here" {
		from = plain(e.Finding.Vantage)
	}
	deny := fmt.Sprintf("deny tcp from %s to %s port %d.", from, e.Finding.Addr.Addr(), port)
	var out []string
	switch {
	case inside:
		out = append(out, fmt.Sprintf("Permit tcp to %s only from the hosts that must send through it, and not from all of %s.", endpoint, from))
	case portNotes[port] != "":
		out = append(out, fmt.Sprintf("Close the opening: %s Port %d is %s, and rarely needed from outside.", deny, port, portNotes[port]))
	default:
		out = append(out, fmt.Sprintf("If nobody outside needs %s, close the opening: %s If it must receive mail, close it until the server is put right.", endpoint, deny))
	}
	if e.exposed() || e.mayRelay() {
		out = append(out, translated(e, inside)...)
	}
	return out
}

// portNotes say what ports beside the assigned ones are mostly for.
var portNotes = map[uint16]string{
	24: "LMTP's, between servers of one site", 717: "Exchange's outbound proxy", 1025: "mostly a test server's", 2500: "mostly a test server's", 8025: "mostly a test server's",
	10024: "mostly a content filter's", 10025: "mostly where a content filter hands mail back, unchecked", 10026: "mostly where a content filter hands mail back, unchecked",
	25000: "mostly a test server's", 25025: "mostly a test server's",
}

// translated tells whether the server took us for someone else: then an address translation or a proxy in front of it
// makes strangers look like its own network.
func translated(e *Entry, inside bool) []string {
	f := &e.Finding
	seen, err := netip.ParseAddr(strings.Trim(f.SeenAs, "[]"))
	ours, err2 := netip.ParseAddr(f.LocalAddr)
	switch {
	case err == nil && err2 == nil && seen.Unmap() != ours.Unmap():
		s := fmt.Sprintf("The server saw this scan come from %s, and it came from %s: an address translation or a proxy stands between.", seen, ours)
		if seen.IsPrivate() || seen.IsLoopback() {
			s += " If " + seen.String() + " is among the server's trusted addresses, every stranger counts as one of its own: switch source translation off for this opening."
		}
		return []string{s}
	case err != nil && !inside && slices.Contains(e.Vectors, "S1"):
		return []string{"Look up this scan's address in the server's log. If an inside address stands there, source translation on the firewall makes every stranger look like one of its own: switch it off for this opening."}
	}
	return nil
}
