"""The servers' file systems: for each, an overlay over this machine's own / that holds what apt and npm installed,
and a folder of programs made from Go modules.

The packages conflict with one another, so each gets a root of its own. A root whose recipe has not changed is not built
again. This file also runs as a program, in namespaces of its own, so that nothing is left mounted and the packages'
scripts see no process of this machine.
"""
import json, os, shutil, signal, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from common import *

# npm takes its packages from where this machine is set to.
NODE = [] if shutil.which("node") and shutil.which("npm") else ["nodejs", "npm"]
DEBIAN = {
    "postfix": "postfix libsasl2-modules sasl2-bin", "exim": "exim4-daemon-light", "opensmtpd": "opensmtpd", "sendmail": "sendmail-bin sendmail-cf",
    "courier": "courier-mta", "perl": "qpsmtpd libnet-ip-perl inetsim libnet-server-mail-perl postgrey", "misc": "python3-aiosmtpd python3-twisted haproxy stunnel4",
    "dovecot": "dovecot-lmtpd dovecot-submissiond", "chasquid": "chasquid", "node": " ".join(NODE),
}
NPM = {"dependencies": {"Haraka": "3.1.1", "haraka-plugin-relay": "1.0.2", "smtp-server": "3.13.8", "nodemailer": "6.10.1"},      # all run on Debian's Node 18
       "overrides": {"encoding-japanese": "2.2.0", "libmime": "5.3.6", "libqp": "2.1.1", "libbase64": "1.3.0"}}
GO = {"guerrillad": "github.com/flashmob/go-guerrilla/cmd/guerrillad", "relay": "."}
MODULES = ("github.com/emersion/go-smtp@v0.25.1", "github.com/emersion/go-sasl@v0.0.0-20241020182733-b788ff22d5a6", "github.com/flashmob/go-guerrilla@v1.6.1")
RELAY = HERE + "/relay.go.txt"      # so named that Go does not take it for a part of relaysweep

def recipes():
    """What each root is made from, as text."""
    return {**DEBIAN, "node": DEBIAN["node"] + json.dumps(NPM), "go": " ".join([*MODULES, *GO.values(), open(RELAY).read()])}
APT = ["apt-get", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-unsafe-io",
       "-o", "Dpkg::Options::=--force-confnew", "-o", "Dpkg::Options::=--path-exclude=/usr/share/doc/*",
       "-o", "Dpkg::Options::=--path-exclude=/usr/share/man/*", "-o", "Dpkg::Options::=--path-exclude=/usr/share/locale/*"]
NPM_INSTALL = ["npm", "install", "--prefix", "/opt/node", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]

def built(name):
    try:
        return open(f"{ROOTS}/{name}/recipe").read() == recipes()[name]
    except OSError:
        return False

def mount(upper, work, merged):
    """A root: this machine's / below, `upper` above. Only ever in a mount namespace of our own."""
    for d in (upper, work, merged):
        os.makedirs(d, exist_ok=True)
    sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", merged)
    sh("mount", "-t", "proc", "proc", merged + "/proc")
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", merged + "/dev")
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        os.mknod(f"{merged}/dev/{name}", 0o020666, os.makedev(1, minor))
        os.chmod(f"{merged}/dev/{name}", 0o666)
    os.symlink("/proc/self/fd", merged + "/dev/fd")
    os.makedirs(merged + "/run", exist_ok=True)
    os.makedirs(merged + "/tmp", exist_ok=True)
    os.chmod(merged + "/tmp", 0o1777)

def build(name, lists):
    root = f"{ROOTS}/{name}"
    merged = root + "/merged"
    mount(root + "/upper", root + "/work", merged)
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C", HOME="/root", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    write(merged + "/etc/resolv.conf", open("/etc/resolv.conf").read())         # it may be a link into /run
    write(merged + "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)     # start nothing
    if packages := DEBIAN[name].split():
        shutil.copytree(lists, merged + "/var/lib/apt/lists", dirs_exist_ok=True)
        sh("chroot", merged, "debconf-set-selections", input="postfix postfix/main_mailer_type select No configuration\n", env=env)
        write(f"{LOG}/build-{name}.log", sh("chroot", merged, *APT, "install", *packages, env=env, stdin=subprocess.DEVNULL))
    if name == "node":
        write(merged + "/opt/node/package.json", json.dumps(NPM))
        write(f"{LOG}/build-npm.log", sh("chroot", merged, *NPM_INSTALL, env=env, stdin=subprocess.DEVNULL))
    for d in ("/dev", "/proc", ""):
        sh("umount", "-l", merged + d)
    for d in ("var/lib/apt", "var/cache/apt", "root/.npm"):      # large, and of no use to a server
        shutil.rmtree(f"{root}/upper/{d}", ignore_errors=True)

def update(lists):
    """Debian's lists of packages, for all roots."""
    root = f"{ROOTS}/lists"
    mount(root + "/upper", root + "/work", root + "/merged")
    write(root + "/merged/etc/resolv.conf", open("/etc/resolv.conf").read())
    sh("chroot", root + "/merged", "apt-get", "update", "-q")
    shutil.copytree(root + "/merged/var/lib/apt/lists", lists)

def compile():
    """The Go modules, in a module of our own outside every repository."""
    source = f"{ROOTS}/go/source"
    write(source + "/go.mod", "module lab\n\ngo 1.21\n")
    write(source + "/main.go", open(RELAY).read())
    env = dict(os.environ, CGO_ENABLED="0", GOFLAGS="-mod=mod", GOWORK="off")
    sh("go", "get", *MODULES, cwd=source, env=env)
    for program, package in GO.items():
        sh("go", "build", "-trimpath", "-o", f"{ROOTS}/go/bin/{program}", package, cwd=source, env=env)

def ensure():
    """Build what is not built. What cannot be had, by name, with the reason."""
    if not all(map(built, recipes())):
        say("building the servers' file systems (once)")
        code = subprocess.call([*UNSHARE, "--mount-proc", *PYTHON, HERE + "/roots.py"])
        if code not in (0, 1):
            raise Failed("the build failed; what is built is kept, the next call goes on from there")
    return {name: open(f"{ROOTS}/{name}/failed").read() for name in recipes() if not built(name)}

def missing():
    """One line for each reason why overlay roots cannot work here."""
    for d in filter(os.path.ismount, ("/usr", "/etc", "/var", "/var/lib")):
        yield f"{d} is a file system of its own: the servers' roots are laid over / and would lack it"
    test = STATE + "/test"
    os.makedirs(STATE, exist_ok=True)
    why = complaint("unshare", "--mount", "--propagation", "private", "sh", "-ec", f"mkdir -p {test}/u {test}/w {test}/m; "
                    f"mount -t overlay overlay -o lowerdir=/,upperdir={test}/u,workdir={test}/w {test}/m; touch {test}/m/etc/lab")
    shutil.rmtree(test, ignore_errors=True)
    if why:
        yield f"overlayfs with its upper layer in {STATE}: not available ({why}); RELAYSWEEP_LAB_STATE may name another place"

def main():
    lists, failed = STATE + "/lists", []
    shutil.rmtree(lists, ignore_errors=True)

    def one(name):
        started, root = time.time(), f"{ROOTS}/{name}"
        shutil.rmtree(root, ignore_errors=True)
        try:
            compile() if name == "go" else build(name, lists)
            write(root + "/recipe", recipes()[name])
        except (Failed, OSError) as e:
            write(root + "/failed", str(e))
            failed.append(name)
        say(f"  {name}: {'failed' if name in failed else 'built'}, {time.time() - started:.0f} s")

    todo = sorted((name for name in recipes() if not built(name)), key=lambda n: n not in ("go", "node", "perl"))     # the slow ones first
    if any(DEBIAN.get(name) for name in todo):
        update(lists)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, todo))
    shutil.rmtree(lists, ignore_errors=True)
    shutil.rmtree(f"{ROOTS}/lists", ignore_errors=True)
    return bool(failed)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # lab.py is interrupted too, and ends us
    sys.exit(main())
