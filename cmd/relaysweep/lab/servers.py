"""The servers. As a program: the supervisor, process 1 of a process and mount namespace within the organisation's
network namespace. When it ends, the kernel ends every server and drops every mount with it.

    servers.py [--tied]     tied: end when standard input does, that is, with the lab.py that started us
"""
import os, socket, sys, threading, time, traceback
from concurrent.futures import ThreadPoolExecutor
import others, roots
from servers_base import *
from common import *

POSTFIX = {
    "compatibility_level": "3.6", "mail_owner": "postfix", "setgid_group": "postdrop", "command_directory": "/usr/sbin",
    "daemon_directory": "/usr/lib/postfix/sbin", "queue_directory": "/var/spool/postfix", "data_directory": "/var/lib/postfix",
    "myhostname": "mx.org.example", "mydomain": "org.example", "myorigin": "org.example", "mydestination": "org.example, mx.org.example, localhost",
    "mynetworks": "127.0.0.0/8, 10.20.0.0/16", "inet_interfaces": "all", "inet_protocols": "all", "append_dot_mydomain": "no", "biff": "no",
    "maillog_file": "/var/log/postfix.log",
    "alias_maps": "", "alias_database": "", "local_transport": "discard:local", "notify_classes": "",
    "local_recipient_maps": "inline:{alice=x, info=x, postmaster=x, abuse=x}",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
    "smtpd_client_connection_count_limit": "200", "default_process_limit": "200",
    "smtpd_tls_security_level": "none", "smtp_tls_security_level": "none", "smtp_host_lookup": "dns",
    "minimal_backoff_time": "20s", "maximal_backoff_time": "60s", "queue_run_delay": "20s",
}
QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"

def service(line, options):
    """One service of master.cf with its own settings."""
    return line + "".join(f"\n  -o {{ {k} = {v} }}" for k, v in options.items()) + "\n"

# Rewriting of their own, for listeners that take other domains or addresses than the rest; ways out.
MASTER = (service("rewrite-gateway unix - - n - - trivial-rewrite", {"mydestination": "gw.org.example", "relay_domains": "org.example"})
          + service("cleanup-gateway unix n - n - 0 cleanup", {"rewrite_service_name": "rewrite-gateway"})
          + service("rewrite-as-is unix - - n - - trivial-rewrite", {"allow_percent_hack": "no", "swap_bangpath": "no"})
          + service("cleanup-as-is unix n - n - 0 cleanup", {"rewrite_service_name": "rewrite-as-is"})
          + service("rewrite-label unix - - n - - trivial-rewrite", {"relay_domains": "regexp:/etc/postfix/label"})
          + service("gateway unix - - n - - smtp", {"smtp_bind_address": "198.51.100.102", "inet_interfaces": "198.51.100.102", "myhostname": "gw.org.example"})
          + "bouncer unix - - n - - error\n")

def postfix(r):
    """One master, one listener a case."""
    master = ""
    for line in open(r.path + "/usr/share/postfix/master.cf.dist"):      # Debian's, without listeners, pipes and chroot
        f = line.split(None, 7)
        if len(f) == 8 and f[0][0].isalpha() and f[1].startswith("unix") and "pipe" not in f[7]:
            master += " ".join([*f[:4], "n", *f[5:]])
    master += MASTER
    for c in of("postfix"):
        master += service(f"{c.ip}:{c.port} inet n - n - - smtpd", {"syslog_name": c.id, "smtputf8_enable": "no", **c.settings})       # Exim offers none, and both are compared
    for c in of("postscreen"):
        master += service(f"{c.ip}:{c.port} inet n - n - 1 postscreen", {"syslog_name": c.id, "smtpd_service_name": c.id, "postscreen_cache_map": "btree:$data_directory/" + c.id,
                                                                         "postscreen_greet_ttl": "1s", "postscreen_greet_wait": "6s", "postscreen_access_list": ""})
        master += service(f"{c.id} pass - - n - - smtpd", {"syslog_name": c.id, **c.settings})
    r.write("/etc/postfix/main.cf", "".join(f"{k} = {v}\n" for k, v in POSTFIX.items()))
    r.write("/etc/postfix/master.cf", master)
    r.write("/etc/postfix/no_ehlo", "/^EHLO/ UNKNOWN\n")
    r.write("/etc/postfix/label", "/org\\.example/ OK\n")
    r.write("/etc/postfix/not_ascii", "/[^ -~]/ OK\n")
    r.write("/etc/postfix/sasl/smtpd-any.conf", "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n")
    r.write("/etc/postfix/sasl/smtpd-anonymous.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: ANONYMOUS PLAIN\n")
    r.write("/etc/pam.d/smtp", "auth required pam_permit.so\naccount required pam_permit.so\n")
    r.write("/etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
    # what `postfix start` does, without the seconds that it takes to check every file
    r.run(f"""cd /var/spool; mkdir -p postfix; cd postfix; mkdir -p {QUEUES} maildrop public pid /var/lib/postfix
        chown postfix {QUEUES} /var/lib/postfix; chmod 700 {QUEUES}
        chown postfix:postdrop maildrop public; chmod 730 maildrop; chmod 710 public
        echo Correct-Horse-9 | saslpasswd2 -c -p -u mx.org.example staff; chgrp postfix /etc/sasldb2; chmod 640 /etc/sasldb2""")
    r.run("mkdir -p /run/saslauthd; saslauthd -a pam -n 2 -m /run/saslauthd; chmod 755 /run/saslauthd")
    for c in of("smtp_sink"):
        r.start("smtp-sink", "-u", "postfix", "-c", f"{c.ip}:{c.port}", "100")
    r.start("/usr/lib/postfix/sbin/master")

EXIM = """primary_hostname = mx.org.example
qualify_domain = org.example
domainlist local_domains = org.example : mx.org.example
domainlist relay_to_domains =
hostlist relay_from_hosts = <; {relay_from}
spool_directory = /var/spool/exim-{id}
log_file_path = /var/log/exim-{id}/%slog
pid_file_path = /run/exim-{id}.pid
local_interfaces = <; [{ip}]:25
dns_dnssec_ok = 0
disable_ipv6 = {no_v6}
tls_advertise_hosts =
keep_environment =
acl_smtp_rcpt = acl_check_rcpt
{main}
begin acl
{acls}
acl_check_rcpt:
  accept hosts = :
{acl}
  accept hosts = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  require verify = recipient
  accept
begin routers
{gateway}
local_user:
  driver = redirect
  domains = +local_domains
  local_parts = alice : info : postmaster : abuse
  data = :blackhole:
dnslookup:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote_smtp
  no_more
begin transports
remote_smtp:
  driver = smtp
  hosts_avoid_tls = *
  hosts_try_chunking =
{interface}
begin retry
* * F,10m,20s
begin authenticators
{authenticators}
"""
RESTRICTED = r"""  deny message = restricted characters in address
       domains = +local_domains
       local_parts = ^[.] : ^.*[@%!/|]
  deny message = restricted characters in address
       domains = !+local_domains
       local_parts = ^[./|] : ^.*[@%!] : ^.*/\\.\\./
  accept local_parts = postmaster
       domains = +local_domains
"""
GATEWAY = """hub:
  driver = manualroute
  domains = +local_domains
  route_list = * {hub}
  transport = remote_smtp
  no_more
"""

def exim(r):
    """One daemon a case."""
    script = ""
    for c in of("exim"):
        hub = c.settings.get("gateway_to")
        r.write(f"/etc/exim4/lab/{c.id}.conf", EXIM.format(
            id=c.id, ip=c.ip, relay_from=c.settings.get("relay_from", "127.0.0.1 ; ::1"), no_v6=str(":" not in c.ip).lower(),
            acl="  accept domains = +local_domains" if hub else RESTRICTED + "  " + c.settings.get("acl", ""),
            **{k: c.settings.get(k, "") for k in ("main", "acls", "authenticators")},
            gateway=GATEWAY.format(hub=hub) if hub else "", interface=f"  interface = {c.ip}" if hub else ""))
        script += f"install -d -o Debian-exim -g Debian-exim /var/spool/exim-{c.id} /var/log/exim-{c.id}; exim4 -C /etc/exim4/lab/{c.id}.conf -bd -q20s\n"
    r.write("/etc/exim4/trusted_configs", "".join(f"/etc/exim4/lab/{c.id}.conf\n" for c in of("exim")))    # or Exim gives up its rights
    r.run(script)

def opensmtpd(r):
    """One daemon, one tagged listener a case."""
    tagged = [(c, c.id.replace("-", "_")) for c in of("opensmtpd")]
    lines = ["table aliases file:/etc/aliases", "queue ttl 10m"]
    lines += [f"listen on {c.ip} port {c.port} hostname mx.org.example tag {tag}" for c, tag in tagged]
    lines += ['action "local" mbox alias <aliases>', 'action "relay" relay helo mx.org.example']
    lines += [f'match tag {tag} {c.settings} action "relay"' for c, tag in tagged if c.settings]
    lines += ['match from any for domain "org.example" action "local"', 'match from local for local action "local"']
    r.write("/etc/smtpd.conf", "\n".join(lines) + "\n")
    r.write("/etc/aliases", "postmaster: root\nabuse: root\n")
    r.run("mkdir -p /var/spool/smtpd; chmod 711 /var/spool/smtpd")
    r.start("smtpd", "-d")

def own():
    daemon = [*PYTHON, HERE + "/daemons.py"]
    start("dns-inside", *daemon, "dns", RESOLVER["inside"])
    start("dns-outside", *in_ns(OUTSIDE, *daemon, "dns", RESOLVER["outside"]))
    start("fakes", *daemon, "fakes", *map(where, of("fake")))

def postscreen(r):
    """Within postfix, as the next."""

def smtp_sink(r):
    """Within postfix."""

KINDS = {"postfix": [postfix, postscreen, smtp_sink], "exim": [exim], "opensmtpd": [opensmtpd]}

def start_all(name, kinds):
    """All servers of one root."""
    if not roots.built(name):
        return print(f"{name}: not built")
    r = Root(name)
    for kind in kinds:
        kind(r)

def main(tied):
    sh("mount", "-t", "proc", "proc", "/proc")
    os.makedirs(ALIVE)
    sh("mount", "-t", "tmpfs", "-o", "mode=755,size=2g", "tmpfs", ALIVE)        # half a gigabyte is copied, and gone with us
    socket.sethostname("mx")
    if tied:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()

    def attempt(function, *arguments):
        try:
            function(*arguments)
        except Exception:
            traceback.print_exc()       # lab.py shows this file when a listener is missing
    with ThreadPoolExecutor(8) as pool:
        pool.submit(attempt, own)
        pool.map(lambda item: attempt(start_all, *item), {**KINDS, **others.KINDS}.items())
    write(RUN + "/started", "")
    while True:
        try:
            os.wait()       # process 1 buries the dead
        except ChildProcessError:
            time.sleep(1)

if __name__ == "__main__":
    main("--tied" in sys.argv)
