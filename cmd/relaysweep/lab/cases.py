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
    server: str                     # postfix, exim, opensmtpd, aiosmtpd, fake, or none (the firewall, or nobody)
    ip: str
    port: int
    outside: str                    # verdict from outside; "" = no row from there
    inside: str                     # verdict from inside; "" = no row from there
    why: str
    settings: object = None         # for servers.py
    vectors: tuple = ("plain",)     # by which it must be open, where it is open
    tls: str = ""                   # "implicit", or "starttls" where nothing goes before it
    blocked: bool = False           # the firewall lets nobody through from outside
    dnat: tuple = ()                # (address, port) behind a port forwarding
    masquerade: bool = False        # the forwarding also hides where the client comes from
    needs_delivery: bool = False    # open, but no scan that stops before delivery can tell it from a catch-all
    overclaim_ready: bool = False   # not open, but no scan that stops before delivery can know that
    refuses: bool = False           # an ordinary closed server: anything but "refused" is a mistake

CASES = []

def row(server):
    """Adds the rows of one kind of server. A host that is a number is one of 198.51.100.0/24."""
    def add(id, host, settings, outside, inside, why, port=25, **kw):
        CASES.append(Case(id, server, P + str(host) if isinstance(host, int) else host, port, outside, inside, why, settings, **kw))
    return add

postfix, exim, opensmtpd, aiosmtpd, fake, nobody = map(row, ("postfix", "exim", "opensmtpd", "aiosmtpd", "fake", "none"))

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
postfix("pf-hub-behind", I + "20", {"mynetworks": f"127.0.0.0/8, {P}33/32"}, "filtered", "closed", "hub behind ex-percent, trusts only that gateway", blocked=True)

exim("ex-closed", 30, {}, "closed", "closed", "Debian's ACL and Exim's default limits (3 syntax errors, 10 non-mail commands), relays for loopback only", refuses=True)
exim("ex-open", 31, {"relay_from": "*"}, "open", "open", "relay_from_hosts = *")
exim("ex-sender-domain", 32, {"acl": "accept senders = *@org.example"}, "open", "open", "relays for any sender in its own domain", vectors=("own-domain",))
exim("ex-percent", 33, {"gateway_to": I + "20"}, "open", "open", "gateway that passes any local part to the hub behind it, which trusts it and reads the %", vectors=("percent",), needs_delivery=True)
exim("ex-v6-open", V6 + "25", {"relay_from": "*"}, "open", "open", "IPv6 only, open, behind a rule for IPv6 that nobody remembers")

opensmtpd("os-closed", 40, "", "closed", "closed", "takes mail for its own domain only", refuses=True)
opensmtpd("os-open", 41, "from any for any", "open", "open", "match from any for any action relay")
opensmtpd("os-sender-existing", 42, 'from any mail-from "alice@org.example" for any', "open", "open", "relays for one existing local sender (incident 3)", vectors=("own-user",))

aiosmtpd("ai-sink", 50, "sink", "sink", "sink", "aiosmtpd's Sink: takes every message and drops it", overclaim_ready=True)
aiosmtpd("ai-proxy", 51, "proxy", "open", "open", "aiosmtpd's Proxy: passes everything on")

nobody("fw-masquerade", 60, None, "open", "", "forwarded to pf-hub with source NAT: everybody outside looks like the inside (incident 2)", dnat=(I + "10", 25), masquerade=True)
nobody("fw-forward", 61, None, "closed", "", "forwarded to pf-hub, without source NAT", dnat=(I + "10", 25), refuses=True)
nobody("fw-wrong-target", 62, None, "open", "", "forwarded to pf-app-relay by mistake", dnat=(I + "12", 2525))

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
            if getattr(c, v) and vantage in (None, v):
                yield c, v, getattr(c, v)
