"""What the functions of servers.py and others.py share."""
import os, subprocess
import roots
from cases import CASES
from common import *

FILES = {"/etc/resolv.conf": f"nameserver {RESOLVER['inside']}\n", "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n198.51.100.2 mx.org.example mx\n",
         "/etc/hostname": "mx.org.example\n", "/etc/mailname": "org.example\n",
         "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"}
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C"}

ALIVE = RUN + "/roots"

def of(server):
    return [c for c in CASES if c.server == server]

class Root:
    """The file system of one kind of server: a fresh copy of what was built."""

    def __init__(self, name):
        self.name, self.path = name, f"{ALIVE}/{name}/merged"
        # overlayfs does not take / and a folder below it as two lower layers, so the built layer is copied
        os.makedirs(f"{ALIVE}/{name}")
        if os.path.exists(f"{ROOTS}/{name}/upper"):
            sh("cp", "-a", f"{ROOTS}/{name}/upper", f"{ALIVE}/{name}/upper")
        roots.mount(f"{ALIVE}/{name}/upper", f"{ALIVE}/{name}/work", self.path)
        os.makedirs(f"{LOG}/{name}")
        sh("mount", "--bind", f"{LOG}/{name}", self.path + "/var/log")
        if name == "go":
            sh("cp", "-r", f"{ROOTS}/go/bin", self.path + "/opt/go")
        self.write("/opt/daemons.py", open(HERE + "/daemons.py").read())
        for path, text in FILES.items():
            self.write(path, text)
        for f in ("cert.pem", "key.pem"):
            self.write("/etc/ssl/lab/" + f, open(f"{TLS}/{f}").read())
        self.run("for u in alice info; do id $u >/dev/null 2>&1 || useradd -m -s /usr/sbin/nologin $u; done")

    def write(self, path, text):
        write(self.path + path, text)

    def run(self, script):
        return sh("chroot", self.path, "sh", "-ec", script, env=ENV, stdin=subprocess.DEVNULL)

    def start(self, *command):
        start(self.name, "chroot", self.path, *command)

def start(name, *command):
    log = open(f"{LOG}/{name}.log", "ab", buffering=0)
    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENV, start_new_session=True)

def where(c):
    return f"{c.settings}@{c.ip}@{c.port}"
