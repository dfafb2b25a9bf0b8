"""Every other mail server that Debian, npm and Go modules give: one function a kind, called by servers.py."""
import json, os
from servers_base import *
from common import *

SENDMAIL = """divert(-1)
include(`/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(`linux')
define(`confDOMAIN_NAME', `{name}')
define(`QUEUE_DIR', `/var/spool/mqueue-{id}')
define(`confPID_FILE', `/run/sendmail-{id}.pid')
define(`STATUS_FILE', `/var/log/sendmail-{id}.st')
define(`LOCAL_MAILER_PATH', `/bin/true')
define(`ALIAS_FILE', `')
define(`confTO_IDENT', `0')
define(`confREFUSE_LA', `0')
define(`confQUEUE_LA', `0')
FEATURE(`no_default_msa')
FEATURE(`access_db', `hash -T<TMPF> /etc/mail/{id}.db')
LOCAL_DOMAIN(`org.example')
{m4}
DAEMON_OPTIONS(`Name=MTA, Addr={ip}, Port={port}, Family=inet')
MAILER(`local')
MAILER(`smtp')
"""

def sendmail(r):
    """One daemon a case."""
    script = "cd /etc/mail\n"
    for c in of("sendmail"):
        s = {"m4": "", "access": "", "name": "mx.org.example", **c.settings}
        r.write(f"/etc/mail/{c.id}.mc", SENDMAIL.format(id=c.id, ip=c.ip, port=c.port, **s))
        r.write(f"/etc/mail/{c.id}", s["access"].replace(" ", "\t") + "\n")
        script += f"""install -d -m 700 /var/spool/mqueue-{c.id}
            makemap hash {c.id}.db < {c.id}; chown root {c.id}.db; chmod 644 {c.id}.db
            m4 {c.id}.mc > {c.id}.cf
            /usr/sbin/sendmail -C /etc/mail/{c.id}.cf -bd -q10s -O LogLevel=10\n"""
    r.run(script)

def courier(r):
    """One queue, one couriertcpd a case; the settings are what is set in its environment."""
    for name, text in {"me": "mx.org.example", "locals": "localhost\norg.example\nmx.org.example", "defaultdomain": "org.example", "esmtpacceptmailfor": "org.example\nmx.org.example",
                       "esmtpdelay": "1", "retryalpha": "10", "retrybeta": "10"}.items():
        r.write("/etc/courier/" + name, text + "\n")
    r.run("""install -d -o courier -g courier /run/courier; for u in alice info; do su -s /bin/sh $u -c 'test -d ~/Maildir || mkdir -p ~/Maildir/cur ~/Maildir/new ~/Maildir/tmp'; done
        makesmtpaccess; makeacceptmailfor || :; makealiases; courier start""")
    for c in of("courier"):
        r.start("sh", "-c", f"""set -a; . /etc/courier/esmtpd; {c.settings and c.settings + '='}
            exec /usr/sbin/couriertcpd -address={c.ip} -access=/etc/courier/smtpaccess.dat -maxprocs=$MAXDAEMONS -maxperc=$MAXPERC -maxperip=$MAXPERIP \\
                -noidentlookup -user=$MAILUSER -group=$MAILGROUP {c.port} /usr/sbin/courieresmtpd""")

def qpsmtpd(r):
    """One fork server a case."""
    for c in of("qpsmtpd"):
        etc = f"/etc/qpsmtpd-{c.id}/"
        files = {"plugins": c.settings["plugins"], "relayclients": c.settings.get("relayclients", ""), "rcpthosts": "org.example\nmx.org.example", "me": "mx.org.example",
                 "plugin_dirs": "/usr/share/qpsmtpd/plugins", "loglevel": "4", "spool_dir": "/var/spool/qpsmtpd"}
        for name, text in files.items():
            r.write(etc + name, text + "\n")
        r.run("install -d -m 700 -o qpsmtpd -g qpsmtpd /var/spool/qpsmtpd; for d in new cur tmp; do install -d -o qpsmtpd -g qpsmtpd /var/spool/qpsmtpd/Maildir/$d; done")
        r.start("env", f"QPSMTPD_CONFIG={etc}", "qpsmtpd-forkserver", "-l", c.ip, "-p", str(c.port), "-u", "qpsmtpd")

def inetsim(r):
    for c in of("inetsim"):
        r.write("/etc/inetsim/lab.conf", f"start_service smtp\nservice_bind_address {c.ip}\nservice_max_childs 30\nsmtp_fqdn_hostname mail.org.example\n"
                "smtp_service_extension 8BITMIME\nsmtp_service_extension SIZE 102400000\n")
        r.run("install -d -o inetsim -g inetsim /var/log/inetsim /var/log/inetsim/report; chown -R inetsim:inetsim /var/lib/inetsim")
        r.start("inetsim", "--config=/etc/inetsim/lab.conf", "--session=lab", "--user=inetsim", "--pidfile=/run/inetsim.pid")

TRAP = r"""use strict; use IO::Socket::INET; use Net::Server::Mail::ESMTP;
$SIG{CHLD} = 'IGNORE';
my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => $ARGV[0], LocalPort => $ARGV[1], ReuseAddr => 1) or die $!;
while (1) {
    my $client = $listener->accept or next;
    next if fork;
    my $smtp = Net::Server::Mail::ESMTP->new(socket => $client);
    $smtp->set_callback(RCPT => sub { 1 });
    $smtp->set_callback(DATA => sub { 1 });
    $smtp->process;
    exit;
}
"""

def postgrey(r):
    """Of pf-greylist, on loopback."""
    r.run("mkdir -p /run/postgrey /var/lib/postgrey; chown postgrey /run/postgrey /var/lib/postgrey")
    r.start("postgrey", "--inet=127.0.0.1:10023", "--delay=15", "--auto-whitelist-clients=0", "--lookup-by-host", "--dbdir=/var/lib/postgrey")

def net_server(r):
    r.write("/opt/trap.pl", TRAP)
    for c in of("net_server"):
        r.start("perl", "/opt/trap.pl", c.ip, str(c.port))

def twisted(r):
    r.start("/usr/bin/python3", "/opt/daemons.py", "twisted", *map(where, of("twisted")))

def aiosmtpd(r):
    r.start("/usr/bin/python3", "/opt/daemons.py", "aiosmtpd", *map(where, of("aiosmtpd")))

def haproxy(r):
    text = "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
    for c in of("haproxy"):
        text += f"listen {c.id}\n  bind {c.ip}:{c.port}\n  server {c.id} {c.settings}\n"
    r.write("/etc/haproxy/lab.cfg", text)
    r.start("haproxy", "-db", "-f", "/etc/haproxy/lab.cfg")

def stunnel(r):
    text = "foreground = yes\npid =\ncert = /etc/ssl/lab/cert.pem\nkey = /etc/ssl/lab/key.pem\n"
    r.write("/etc/stunnel/lab.conf", text + "".join(f"[{c.id}]\naccept = {c.ip}:{c.port}\nconnect = {c.settings}\n" for c in of("stunnel")))
    r.start("stunnel4", "/etc/stunnel/lab.conf")

def chasquid(r):
    """One daemon; a case is one of its listeners."""
    listeners = "".join(f'{c.settings}_address: "{c.ip}:{c.port}"\n' for c in of("chasquid"))
    r.write("/etc/chasquid/chasquid.conf", f'hostname: "mx.org.example"\n{listeners}data_dir: "/var/lib/chasquid"\nmail_delivery_agent_bin: "/bin/true"\n'
            'mail_log_path: "<stdout>"\n')
    r.write("/etc/chasquid/domains/org.example/aliases", "info: alice\npostmaster: alice\nabuse: alice\n")
    r.run("""rm -rf /etc/chasquid/certs/* /etc/chasquid/hooks/*; install -d /etc/chasquid/certs/mx.org.example /etc/chasquid/hooks; install -d -o chasquid -g chasquid -m 700 /var/lib/chasquid
        chasquid-util user-add alice@org.example --password=Correct-Horse-9
        cp /etc/ssl/lab/cert.pem /etc/chasquid/certs/mx.org.example/fullchain.pem; cp /etc/ssl/lab/key.pem /etc/chasquid/certs/mx.org.example/privkey.pem; chown -R chasquid:chasquid /etc/chasquid""")
    r.start("setpriv", "--reuid", "chasquid", "--regid", "chasquid", "--init-groups", "--ambient-caps", "+net_bind_service", "--inh-caps", "+net_bind_service", "chasquid")

def dovecot(r):
    lmtp, submission = (next(c for c in of("dovecot") if c.settings == kind) for kind in ("lmtp", "submission"))
    r.write("/etc/dovecot/lab.conf", f"""protocols = lmtp submission
base_dir = /run/dovecot
log_path = /var/log/dovecot.log
hostname = mx.org.example
ssl = required
ssl_cert = </etc/ssl/lab/cert.pem
ssl_key = </etc/ssl/lab/key.pem
mail_location = maildir:~/Maildir
passdb {{
  driver = static
  args = password=Correct-Horse-9
}}
userdb {{
  driver = passwd
}}
submission_relay_host = 10.20.1.10
service lmtp {{
  inet_listener lmtp {{
    address = {lmtp.ip}
    port = {lmtp.port}
  }}
}}
service submission-login {{
  inet_listener submission {{
    address = {submission.ip}
    port = {submission.port}
  }}
  inet_listener submissions {{
    port = 0
  }}
}}
""")
    r.start("dovecot", "-F", "-c", "/etc/dovecot/lab.conf")

def haraka(r):
    """One process a case; the settings are plugins that come first."""
    for c in of("haraka"):
        etc = f"/etc/haraka-{c.id}/config/"
        files = {"smtp.ini": f"listen={c.ip}:{c.port}\nnodes=0\n", "me": "mx.org.example", "host_list": "org.example", "plugins": f"{c.settings}\nrcpt_to.in_host_list" + "\nqueue/discard" * (not c.settings),
                 "relay.ini": "[relay]\nacl=true\n", "relay_acl_allow": "0.0.0.0/1\n128.0.0.0/1",      # 0.0.0.0/0 is taken for one address
                  "outbound.ini": "local_mx_ok=true\n", "loglevel": "NOTICE"}
        r.run(f"mkdir -p {etc}; cp -r /opt/node/node_modules/Haraka/config/. {etc}")
        for name, text in files.items():
            r.write(etc + name, text + "\n")
        r.run(f"mkdir -p /etc/haraka-{c.id}/queue /etc/haraka-{c.id}/plugins; ln -sfn /opt/node/node_modules /etc/haraka-{c.id}/node_modules")
        r.start("env", "YES_REALLY_DO_DISCARD=1", "node", "/opt/node/node_modules/Haraka/bin/haraka", "-c", f"/etc/haraka-{c.id}")

def nodemailer(r):
    r.write("/opt/node/relay.js", open(HERE + "/relay.js").read())
    r.start("node", "/opt/node/relay.js", *map(where, of("nodemailer")))

def go_smtp(r):
    r.start("/opt/go/relay", *map(where, of("go_smtp")))

def guerrilla(r):
    """One daemon a case; the settings are the domains that it takes mail for."""
    for c in of("guerrilla"):
        r.write(f"/etc/{c.id}.json", json.dumps({
            "log_file": "stderr", "log_level": "info", "pid_file": f"/run/{c.id}.pid", "allowed_hosts": [c.settings],
            "backend_config": {"save_process": "HeadersParser|Header|Debugger", "primary_mail_host": "mx.org.example", "log_received_mails": False},
            "servers": [{"is_enabled": True, "host_name": "mx.org.example", "listen_interface": f"{c.ip}:{c.port}", "max_size": 1000000, "timeout": 180, "max_clients": 50}]}))
        r.start("/opt/go/guerrillad", "serve", "-c", f"/etc/{c.id}.json", "-p", f"/run/{c.id}.pid")

KINDS = {     # by root
    "sendmail": [sendmail], "courier": [courier], "perl": [postgrey, qpsmtpd, inetsim, net_server], "misc": [aiosmtpd, twisted, haproxy, stunnel],
    "chasquid": [chasquid], "dovecot": [dovecot], "node": [haraka, nodemailer], "go": [go_smtp, guerrilla],
}
