"""The table of cases: what stands where, and what must be true of it.

The expectation is written before anything is measured; `truth` then measures it with real messages, and the lab
refuses to judge a scanner while the two differ.

Verdicts: open      a message for a foreign address came to the canary
          closed    no message did
          sink      messages are taken, and none ever leaves
          filtered  the firewall drops the way there
          dead      nothing listens
          notsmtp   something listens that does not speak SMTP
"""
from dataclasses import dataclass

P, I, V6 = "198.51.100.", "10.20.1.", "2001:db8:51::"

@dataclass
class Case:
    id: str
    server: str                     # postfix, exim, …: a function of servers.py or others.py; or none (the firewall, or nobody)
    ip: str
    port: int
    outside: str                    # verdict from outside; "" = no row from there
    inside: str                     # verdict from inside; "" = no row from there
    why: str
    settings: object = None         # for the server's function
    vectors: tuple = ("plain",)     # by which it must be open, where it is open
    inside_by: tuple = ()           # the same from inside, where it differs
    tls: str = ""                   # "implicit", or "starttls" where nothing goes before it
    blocked: bool = False           # the firewall lets nobody through from outside
    dnat: tuple = ()                # (address, port) behind a port forwarding
    masquerade: bool = False        # the forwarding also hides where the client comes from
    needs_delivery: bool = False    # open, but no scan that stops before delivery can tell it from a catch-all
    overclaim_ready: bool = False   # not open, but no scan that stops before delivery can know that
    refuses: bool = False           # an ordinary closed server: anything but "refused" is a mistake
    slow: bool = False              # truth tries the ways that matter alone
    sport: int = 0                  # the firewall lets in what comes from this port
    only_from: str = ""             # the firewall lets this address in alone

    def by(self, vantage):
        """The ways by which it must be open from a vantage."""
        return self.inside_by if vantage == "inside" and self.inside_by else self.vectors

CASES = []
MISSING = []        # those whose packages could not be had: they count as failed

def row(server):
    """Adds the rows of one kind of server. A host that is a number is one of 198.51.100.0/24."""
    def add(id, host, settings, outside, inside, why, port=25, **kw):
        CASES.append(Case(id, server, P + str(host) if isinstance(host, int) else host, port, outside, inside, why, settings, **kw))
    return add

postfix, postscreen, smtp_sink, exim, opensmtpd, aiosmtpd, fake, nobody = map(row, (
    "postfix", "postscreen", "smtp_sink", "exim", "opensmtpd", "aiosmtpd", "fake", "none"))
sendmail, courier, qpsmtpd, inetsim, net_server, twisted, chasquid, dovecot, haproxy, stunnel, haraka, nodemailer, go_smtp, guerrilla = map(row, (
    "sendmail", "courier", "qpsmtpd", "inetsim", "net_server", "twisted", "chasquid", "dovecot", "haproxy", "stunnel", "haraka", "nodemailer", "go_smtp", "guerrilla"))

LOOPBACK = {"mynetworks": "127.0.0.0/8"}
ANYBODY = {"mynetworks": "0.0.0.0/0"}
STRICT = "permit_mynetworks, reject_unauth_destination"

def permit(rule):
    return {"smtpd_relay_restrictions": f"{rule}, {STRICT}", **LOOPBACK}

CERTIFICATE = {"smtpd_tls_cert_file": "/etc/ssl/lab/cert.pem", "smtpd_tls_key_file": "/etc/ssl/lab/key.pem",
               "smtpd_tls_security_level": "encrypt"}
SUBMISSION = {**CERTIFICATE, **LOOPBACK, "smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "yes",     # as in Debian's master.cf
              "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}

postfix("pf-closed", 10, {}, "closed", "open", "Debian's default (454 for a foreign address), mynetworks = 10.20.0.0/16; the inside is trusted on purpose", refuses=True)
postfix("pf-closed-554", 11, permit("reject_unauth_destination"), "closed", "closed", "mynetworks = loopback, 554 for a foreign address", refuses=True)
postfix("pf-open", 12, ANYBODY, "open", "open", "mynetworks = 0.0.0.0/0, left over from an upgrade (incident 1)")
postfix("pf-sender-domain", 13, permit("check_sender_access inline:{org.example=OK}"), "open", "open", "relays for any sender in its own domain", vectors=("own-domain",))
postfix("pf-sender-existing", 14, permit("check_sender_access inline:{alice@org.example=OK}"), "open", "open", "relays for one existing local sender (incident 3)", vectors=("own-user",))
postfix("pf-null-sender", 15, permit("check_sender_access inline:{<>=OK}"), "open", "open", "relays for the null sender", vectors=("null",))
postfix("pf-own-helo", 16, permit("check_helo_access inline:{org.example=OK}"), "open", "open", "relays for a client that says its name is org.example", vectors=("own-helo",))
postfix("pf-data-refused", 17, {**ANYBODY, "smtpd_data_restrictions": "reject"}, "closed", "closed", "takes every RCPT, refuses DATA")
postfix("pf-dot-refused", 18, {**ANYBODY, "smtpd_end_of_data_restrictions": "reject"}, "closed", "closed", "takes RCPT and DATA, refuses after the final dot", overclaim_ready=True)
postfix("pf-discard", 19, {**ANYBODY, "smtpd_client_restrictions": "check_client_access static:DISCARD"}, "sink", "sink", "takes every message and drops it", overclaim_ready=True)
postfix("pf-465-open", 20, {**CERTIFICATE, **ANYBODY, "smtpd_tls_wrappermode": "yes"}, "open", "open", "implicit TLS, open inside it", port=465, tls="implicit")
postfix("pf-587-open", 21, {**CERTIFICATE, **ANYBODY}, "open", "open", "530 before STARTTLS, open after it", port=587, tls="starttls")
postfix("pf-587-auth", 22, SUBMISSION, "closed", "closed", "submission: STARTTLS, then AUTH", port=587, tls="starttls")
postfix("pf-465-auth", 22, {**SUBMISSION, "smtpd_tls_wrappermode": "yes"}, "closed", "closed", "submission in implicit TLS, then AUTH", port=465, tls="implicit")
postfix("pf-2525-open", 23, ANYBODY, "open", "open", "an application's listener forgotten on 2525", port=2525)
postfix("pf-two-errors", 24, {**permit("check_sender_access inline:{alice@org.example=OK}"), "smtpd_hard_error_limit": "2", "smtpd_soft_error_limit": "1"},
        "open", "open", "hangs up after two errors; relays for one existing local sender", vectors=("own-user",))
postfix("pf-helo-only", 25, {**ANYBODY, "smtpd_command_filter": "regexp:/etc/postfix/no_ehlo"}, "open", "open", "does not know EHLO, only HELO; open")
postfix("pf-blocked", 26, ANYBODY, "filtered", "open", "open, on a public address, and the firewall has no rule for it", blocked=True)
postfix("pf-hub", I + "10", {}, "filtered", "open", "mail hub of the inside, mynetworks = 10.20.0.0/16; trusts the inside on purpose", blocked=True)
postfix("pf-app-relay", I + "12", ANYBODY, "filtered", "open", "an application's relay on the inside", port=2525, blocked=True)
postfix("pf-hub-behind", I + "20", {"mynetworks": f"127.0.0.0/8, {P}33/32, {P}102/32"}, "filtered", "closed", "hub behind ex-percent and pf-gateway, trusts only those", blocked=True)

postfix("pf-xclient", 100, {"smtpd_authorized_xclient_hosts": "0.0.0.0/0", **permit("permit_mynetworks")}, "open", "open", "XCLIENT for everybody: a client may say that it is 127.0.0.1", vectors=("xclient",))
postfix("pf-mx-backup", 101, permit("permit_mx_backup"), "open", "open", "relays for every domain that names it as an MX, and anyone can", vectors=("mx-trick",))
postfix("pf-gateway", 102, {**LOOPBACK, "rewrite_service_name": "rewrite-gateway", "cleanup_service_name": "cleanup-gateway", "allow_untrusted_routing": "yes",
        "content_filter": f"gateway:[{I}20]", "local_recipient_maps": "", "relay_recipient_maps": "", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"},
        "open", "open", "gateway with allow_untrusted_routing, in front of a hub that trusts it", vectors=("percent",), needs_delivery=True)
postfix("pf-catch-all", 103, {**LOOPBACK, "rewrite_service_name": "rewrite-as-is", "cleanup_service_name": "cleanup-as-is", "local_recipient_maps": "",
        "content_filter": "discard:local"},
        "closed", "closed", "delivers every local part of its own domain locally")
postfix("pf-greylist", 104, {**ANYBODY, "smtpd_relay_restrictions": "", "smtpd_recipient_restrictions": f"check_policy_service inet:127.0.0.1:10023, {STRICT}"},
        "open", "open", "postgrey puts off for 15 s; open to who comes again", vectors=("retry",))
postfix("pf-label", 105, {**LOOPBACK, "rewrite_service_name": "rewrite-label"}, "open", "open", "relay_domains is a regular expression without anchors", vectors=("label",))
postfix("pf-utf8-closed", 106, {**permit("reject_unauth_destination"), "smtputf8_enable": "yes"}, "closed", "closed", "SMTPUTF8 on, closed", refuses=True)
postfix("pf-utf8", 107, {**permit("check_recipient_access regexp:/etc/postfix/not_ascii"), "smtputf8_enable": "yes"},
        "open", "open", "a list of foreign domains in ASCII that lets names in UTF-8 through", vectors=("utf8",))
postfix("pf-tarpit", 108, {**ANYBODY, "smtpd_recipient_restrictions": f"sleep 2, {STRICT}"}, "open", "open", "takes 2 s for each RCPT, then relays", slow=True)
postfix("pf-one-connection", 109, {**permit("check_sender_access inline:{org.example=OK}"), "smtpd_client_connection_count_limit": "1", "smtpd_client_event_limit_exceptions": ""},
        "open", "open", "421 for a second connection; relays for any sender in its own domain", vectors=("own-domain",))
REINJECT = {"smtpd_recipient_restrictions": "permit_mynetworks, reject", "smtpd_authorized_xforward_hosts": "0.0.0.0/0", "smtpd_error_sleep_time": "0"}
postfix("pf-reinject", 110, {**LOOPBACK, **REINJECT}, "closed", "closed", "content filter's way back, bound to all addresses, mynetworks = loopback as in FILTER_README", port=10025)
postfix("pf-reinject-open", 111, {**ANYBODY, **REINJECT}, "open", "open", "the same, trusting everybody", port=10025)
postfix("pf-source-port", 112, ANYBODY, "open", "open", "the firewall has a stateless rule for return traffic: lets in what comes from port 25", vectors=("source-port",), inside_by=("plain",), sport=25)
postfix("pf-other-source", 113, ANYBODY, "open", "open", "the firewall lets in the mail filter's address 203.0.113.77 alone", vectors=("other-source",), inside_by=("plain",), only_from="203.0.113.77")
postfix("pf-hold", 114, {**ANYBODY, "smtpd_client_restrictions": "check_client_access static:HOLD"}, "sink", "sink", "takes every message and holds it for an operator", overclaim_ready=True)
postfix("pf-bounces", 115, {**LOOPBACK, "local_recipient_maps": "", "content_filter": "bouncer:unknown"}, "closed", "closed", "takes any local part of its own domain and sends it back later")
postfix("pf-any-auth", 116, {**CERTIFICATE, **permit("permit_sasl_authenticated"), "smtpd_tls_security_level": "may", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_path": "smtpd-any"},
        "open", "open", "SASL through PAM with pam_permit: takes any password", vectors=("any-auth",))
postfix("pf-anonymous", 117, {**permit("permit_sasl_authenticated"), "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_path": "smtpd-anonymous", "smtpd_sasl_security_options": ""},
        "closed", "closed", "says 235 to AUTH ANONYMOUS, and does not relay for it")
postfix("pf-proxy-port", 118, {**permit("permit_mynetworks"), "smtpd_upstream_proxy_protocol": "haproxy"},
        "open", "open", "the port behind a load balancer, exposed: greets after a PROXY header alone, and believes it", vectors=("proxy-header",))
postscreen("pf-postscreen", 119, ANYBODY, "open", "open", "postscreen: 6 s before the greeting is complete; open behind it", slow=True)
smtp_sink("pf-smtp-sink", 120, None, "sink", "sink", "Postfix's smtp-sink", overclaim_ready=True)

exim("ex-closed", 30, {}, "closed", "closed", "Debian's ACL and Exim's default limits (3 syntax errors, 10 non-mail commands), relays for loopback only", refuses=True)
exim("ex-open", 31, {"relay_from": "*"}, "open", "open", "relay_from_hosts = *")
exim("ex-sender-domain", 32, {"acl": "accept senders = *@org.example"}, "open", "open", "relays for any sender in its own domain", vectors=("own-domain",))
exim("ex-percent", 33, {"gateway_to": I + "20"}, "open", "open", "gateway that passes any local part to the hub behind it, which trusts it and reads the %", vectors=("percent",), needs_delivery=True)
exim("ex-v6-open", V6 + "25", {"relay_from": "*"}, "open", "open", "IPv6 only, open, behind a rule for IPv6 that nobody remembers")

exim("ex-fakereject", 34, {"relay_from": "*", "main": "acl_smtp_data = acl_data", "acls": "acl_data:\n  accept control = fakereject"},
     "open", "open", "says 550 after the dot, and delivers", needs_delivery=True)
exim("ex-any-auth", 35, {"acl": "accept authenticated = *", "main": "auth_advertise_hosts = *", "authenticators": """plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = true
  server_set_id = $auth2"""}, "open", "open", "server_condition = true: takes any password", vectors=("any-auth",))

opensmtpd("os-closed", 40, "", "closed", "closed", "takes mail for its own domain only", refuses=True)
opensmtpd("os-open", 41, "from any for any", "open", "open", "match from any for any action relay")
opensmtpd("os-sender-existing", 42, 'from any mail-from "alice@org.example" for any', "open", "open", "relays for one existing local sender (incident 3)", vectors=("own-user",))

aiosmtpd("ai-sink", 50, "sink", "sink", "sink", "aiosmtpd's Sink: takes every message and drops it", overclaim_ready=True)
aiosmtpd("ai-proxy", 51, "proxy", "open", "open", "aiosmtpd's Proxy: passes everything on")

nobody("fw-masquerade", 60, None, "open", "", "forwarded to pf-hub with source NAT: everybody outside looks like the inside (incident 2)", dnat=(I + "10", 25), masquerade=True)
nobody("fw-forward", 61, None, "closed", "", "forwarded to pf-hub, without source NAT", dnat=(I + "10", 25), refuses=True)
nobody("fw-wrong-target", 62, None, "open", "", "forwarded to pf-app-relay by mistake", dnat=(I + "12", 2525))

sendmail("sm-closed", 130, {}, "closed", "closed", "sendmail 8.17 as it comes: 550 for a foreign address")
sendmail("sm-promiscuous", 131, {"m4": "FEATURE(`promiscuous_relay')"}, "open", "open", "promiscuous_relay")
sendmail("sm-local-from", 132, {"m4": "FEATURE(`relay_local_from')"}, "open", "open", "relay_local_from: for any sender in its own domain", vectors=("own-domain",))
sendmail("sm-mail-from", 133, {"m4": "FEATURE(`relay_mail_from')", "access": "From:alice@org.example RELAY"}, "open", "open", "relay_mail_from: for a sender in the access map", vectors=("own-user",))
sendmail("sm-entire-domain", 134, {"m4": "FEATURE(`relay_entire_domain')"}, "closed", "open", "relay_entire_domain: for every client whose name is under org.example; the inside on purpose")
sendmail("sm-greet-pause", 136, {"m4": "FEATURE(`promiscuous_relay')\nFEATURE(`greet_pause', `5000')"}, "open", "open", "waits 5 s before it greets, and drops who speaks first; open", slow=True)
sendmail("sm-based-on-mx", 137, {"m4": "FEATURE(`relay_based_on_MX')", "name": "h101.org.example"}, "open", "open", "relay_based_on_MX: for every domain that names it as an MX", vectors=("mx-trick",))

courier("co-closed", 140, "", "closed", "open", "Courier as it comes: 513 for a foreign address; trusts 10.0.0.0/8; 8 s for every refusal", slow=True)
courier("co-open", 141, "RELAYCLIENT", "open", "open", "RELAYCLIENT set for all; 8 s for every refusal", slow=True)

qpsmtpd("qp-closed", 145, {"plugins": "relay\nrcpt_ok\nqueue/maildir /var/spool/qpsmtpd/Maildir"}, "closed", "closed", "qpsmtpd with rcpt_ok")
qpsmtpd("qp-open", 146, {"plugins": f"relay\nrcpt_ok\nqueue/smtp-forward 203.0.113.25 25", "relayclients": "203.0.113.\n10.20.\n"},
        "open", "open", "qpsmtpd's relayclients hold the outsiders' network")
inetsim("in-sink", 147, None, "sink", "sink", "INetSim, a simulator of the Internet for malware: takes everything", overclaim_ready=True)
net_server("ns-sink", 148, None, "sink", "sink", "Net::Server::Mail: a small trap in Perl", overclaim_ready=True)
twisted("tw-closed", 149, None, "closed", "closed", "Twisted's mail server: its own domain only", refuses=True)
chasquid("ch-25", 150, "smtp", "closed", "closed", "chasquid: its own domain only", refuses=True)
chasquid("ch-587", 150, "submission", "closed", "closed", "chasquid's submission: STARTTLS, then AUTH", port=587, tls="starttls")
chasquid("ch-465", 150, "submission_over_tls", "closed", "closed", "chasquid's submission in implicit TLS", port=465, tls="implicit")
dovecot("dc-lmtp", 152, "lmtp", "notsmtp", "notsmtp", "Dovecot's LMTP, which is not SMTP", port=24)
dovecot("dc-submission", 152, "submission", "closed", "closed", "Dovecot's submission: AUTH only", port=587, tls="starttls")
haproxy("ha-forward", 155, I + "10:25", "open", "open", "HAProxy in front of pf-hub: everybody looks like the inside")
haproxy("ha-proxy", 156, P + "118:25 send-proxy", "closed", "closed", "HAProxy in front of pf-proxy-port, with PROXY headers", refuses=True)
stunnel("st-465", 157, I + "10:25", "open", "open", "stunnel in front of pf-hub: everybody looks like the inside", port=465, tls="implicit")

haraka("hk-closed", 160, "", "closed", "closed", "Haraka: its own domain only")
haraka("hk-open", 161, "relay", "open", "open", "Haraka's relay plugin allows 0.0.0.0/1 and 128.0.0.0/1")
nodemailer("nm-sink", 163, "sink", "sink", "sink", "smtp-server: takes everything and drops it", overclaim_ready=True)
nodemailer("nm-relay", 164, "relay", "open", "open", "smtp-server: passes everything on")
nodemailer("nm-any-auth", 165, "any-auth", "open", "open", "smtp-server: 530 before AUTH, takes any password", vectors=("any-auth",))

go_smtp("go-open", 170, "open", "open", "open", "a relay on go-smtp, for everybody")
go_smtp("go-first-at", 171, "first-at", "open", "open", "a relay on go-smtp: checks what follows the last @, delivers to what follows the first", vectors=("quoted-at",), needs_delivery=True)
go_smtp("go-any-auth", 172, "any-auth", "open", "open", "a relay on go-smtp: takes any password", vectors=("any-auth",))
go_smtp("go-anonymous", 173, "anonymous", "open", "open", "a relay on go-smtp: AUTH ANONYMOUS may relay", vectors=("anonymous",))
go_smtp("go-closed", 174, "closed", "closed", "closed", "go-smtp: its own domain only")
go_smtp("go-trap", 175, "trap", "sink", "sink", "go-smtp: keeps everything", overclaim_ready=True)
guerrilla("gu-closed", 177, "org.example", "closed", "closed", "go-guerrilla: its own domain only")
guerrilla("gu-trap", 178, ".", "sink", "sink", "go-guerrilla that takes every domain, and keeps it", overclaim_ready=True)

fake("no-ssh", 70, "ssh", "notsmtp", "notsmtp", "greets like an SSH server")
fake("no-http", 71, "http", "notsmtp", "notsmtp", "answers any line like a web server", port=587)
fake("no-voice", 72, "silent", "notsmtp", "notsmtp", "takes the connection and stays silent")
fake("no-stay", 73, "close", "notsmtp", "notsmtp", "takes the connection and closes it at once")
nobody("dead-port", 80, None, "dead", "dead", "a host without a mail server (reset)")
nobody("dead-host", 81, None, "dead", "dead", "an address without a host, which the firewall lets through")

NO_HOST = {P + "81"} | {c.ip for c in CASES if c.dnat}

def rows(vantage=None):
    """(case, vantage, expected verdict) for every row."""
    for v in ("outside", "inside"):
        for c in CASES:
            if getattr(c, v) and vantage in (None, v) and c not in MISSING:
                yield c, v, getattr(c, v)
