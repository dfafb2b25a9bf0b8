"""The servers' file systems: for each, an overlay over this machine's own / that holds what apt installed.

The packages conflict with one another, so each gets a root of its own. A root whose package list has not changed is
not built again. This file also runs as a program, in namespaces of its own, so that nothing is left mounted and the
packages' scripts see no process of this machine.
"""
import os, shutil, signal, subprocess, sys
from common import *

PACKAGES = {"postfix": "postfix libsasl2-modules sasl2-bin", "exim": "exim4-daemon-light", "opensmtpd": "opensmtpd", "misc": "python3-aiosmtpd"}
APT = ["apt-get", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-unsafe-io",
       "-o", "Dpkg::Options::=--force-confnew", "-o", "Dpkg::Options::=--path-exclude=/usr/share/doc/*",
       "-o", "Dpkg::Options::=--path-exclude=/usr/share/man/*", "-o", "Dpkg::Options::=--path-exclude=/usr/share/locale/*"]

def built(name):
    try:
        return open(f"{ROOTS}/{name}/packages").read() == PACKAGES[name]
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
    shutil.rmtree(root, ignore_errors=True)
    mount(root + "/upper", root + "/work", merged)
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C", HOME="/root", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    write(merged + "/etc/resolv.conf", open("/etc/resolv.conf").read())         # it may be a link into /run
    write(merged + "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)     # start nothing
    if os.path.exists(lists):
        shutil.copytree(lists, merged + "/var/lib/apt/lists", dirs_exist_ok=True)
    else:
        sh("chroot", merged, "apt-get", "update", "-q", env=env)
        shutil.copytree(merged + "/var/lib/apt/lists", lists)
    sh("chroot", merged, "debconf-set-selections", input="postfix postfix/main_mailer_type select No configuration\n", env=env)
    write(f"{LOG}/build-{name}.log", sh("chroot", merged, *APT, "install", *PACKAGES[name].split(), env=env))
    for d in ("/dev", "/proc", ""):
        sh("umount", "-l", merged + d)
    for d in ("var/lib/apt", "var/cache/apt"):      # large, and of no use to a server
        shutil.rmtree(f"{root}/upper/{d}", ignore_errors=True)
    write(root + "/packages", PACKAGES[name])

def ensure():
    """Build what is not built."""
    if not all(map(built, PACKAGES)):
        say("building the servers' file systems (once)")
        if subprocess.call([*UNSHARE, "--mount-proc", *PYTHON, HERE + "/roots.py"]):
            raise Failed("the build failed; what is built is kept, the next call goes on from there")

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

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # lab.py is interrupted too, and ends us
    lists = STATE + "/lists"
    shutil.rmtree(lists, ignore_errors=True)
    try:
        for name in PACKAGES:
            if not built(name):
                say("  " + PACKAGES[name])
                build(name, lists)
    except Failed as e:
        sys.exit(f"lab: {e}")
    finally:
        shutil.rmtree(lists, ignore_errors=True)
