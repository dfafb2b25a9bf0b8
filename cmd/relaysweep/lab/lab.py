#!/usr/bin/env python3
"""relaysweep's own lab: real mail servers behind a real firewall, in network namespaces.

    lab.py run [--fresh] [--keep] BINARY    bring up, scan with BINARY, compare with truth, tear down
    lab.py up                               bring up and leave up
    lab.py truth [--fresh]                  what is open, as JSON Lines, found out with real messages
    lab.py exec outside|inside CMD…         run a command at a vantage
    lab.py down                             tear down
    lab.py missing                          what this machine lacks

--fresh sends the messages again, though nothing has changed since the last time; --keep leaves the lab up.
Needs root on Debian. Exit codes: 0 all passed, 1 not, 77 this machine cannot run it (said in a line each).
$RELAYSWEEP_LAB_STATE, by default /var/lib/relaysweep-lab, holds what was built; removing it costs a build.
$RELAYSWEEP_LAB_PREFIX, by default rsl, begins the namespaces' names: with both set, two labs can be up side by side."""
import sys
sys.dont_write_bytecode = True

import argparse, fcntl, json, os, shutil, signal, subprocess, time

import cases, compare, net, others, roots, servers, truth
from common import *

PIDFILE, LOCKFILE = (f"/run/relaysweep-lab{'-' + PREFIX if PREFIX != 'rsl' else ''}.{end}" for end in ("pid", "lock"))     # of the one lab with these namespaces
CHILDREN = {}
TOOLS = {"ip": "iproute2", "nft": "nftables", "openssl": "openssl", "unshare": "util-linux", "setpriv": "util-linux"}

def missing():
    """What this machine lacks, a line each. Debian packages are installed if they can be."""
    if os.geteuid():
        return ["root: namespaces and overlay roots are made as root (sudo make lab)"]
    if not shutil.which("apt-get"):
        return ["apt-get: not found; this lab installs Debian packages"]
    if packages := sorted({p for tool, p in TOOLS.items() if not shutil.which(tool)}):
        say("installing " + " ".join(packages))
        for command in (["apt-get", "update"], [*roots.APT, "install", *packages]):
            subprocess.run(command, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    absent = [f"{tool}: not found (Debian package {p})" for tool, p in TOOLS.items() if not shutil.which(tool)]
    return absent or [*net.missing(), *roots.missing()]

def up(stay):
    """Everything running. Unless it is to stay, the servers end with this process."""
    started = time.time()
    os.makedirs(LOG, exist_ok=True)
    failed = roots.ensure()
    built = time.time()
    down()
    shutil.rmtree(LOG)
    for d in (LOG, RUN, TLS):
        os.makedirs(d, exist_ok=True)
    if not os.path.exists(TLS + "/cert.pem"):
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mx.org.example",
           "-addext", "subjectAltName=DNS:mx.org.example", "-keyout", TLS + "/key.pem", "-out", TLS + "/cert.pem")
    net.up()
    supervisor = subprocess.Popen(in_ns(ORGANISATION, *UNSHARE, *PYTHON, HERE + "/servers.py", *([] if stay else ["--tied"])),
                                  stdin=subprocess.DEVNULL if stay else subprocess.PIPE, stdout=open(LOG + "/supervisor.log", "w"),
                                  stderr=subprocess.STDOUT, start_new_session=True, cwd="/")
    CHILDREN[supervisor.pid] = supervisor
    write(PIDFILE, str(supervisor.pid))
    without = {kind.__name__ for name in failed for kind in {**servers.KINDS, **others.KINDS}[name]}
    for name, why in failed.items():
        say(f"could not be had: {name}: {why.strip().splitlines()[-1]}")
    cases.MISSING[:] = [c for c in cases.CASES if c.server in without]
    wanted = {(c.ip, c.port) for c in cases.CASES if c.server != "none" and c not in cases.MISSING}
    if not wait_for(lambda: supervisor.poll() is not None or os.path.exists(RUN + "/started") and wanted <= net.listening(ORGANISATION), 90) or supervisor.poll() is not None:
        absent = " ".join(sorted(f"{a}:{p}" for a, p in wanted - net.listening(ORGANISATION)))
        raise Failed(f"not listening: {absent}\n{open(LOG + '/supervisor.log').read()[-3000:]}\nMore in {LOG}.")
    say(f"up: {len(list(cases.rows()))} rows; " + (f"build {built - started:.0f} s, " if built - started > 1 else "") + f"start {time.time() - built:.1f} s")

def supervisor_pid():
    """Of the lab that is up, whoever brought it up; None if none is."""
    try:
        pid = int(open(PIDFILE).read())
        return pid if "/lab/servers.py" in open(f"/proc/{pid}/cmdline").read() else None
    except (OSError, ValueError):
        return None

def down():
    pid = supervisor_pid()
    if pid:
        os.kill(pid, signal.SIGKILL)        # unshare --kill-child: the kernel ends all of its process namespace

    def gone():
        if pid in CHILDREN:
            CHILDREN[pid].poll()
        shutil.rmtree(RUN, ignore_errors=True)      # the kernel lets go of the mounts a moment later
        return not supervisor_pid() and not os.path.exists(RUN)
    if not wait_for(gone, 10):
        raise Failed(f"process {pid} does not end, or {RUN} cannot be removed")
    net.down()

def truth_rows(fresh, stay):
    """What is open: remembered, or found out with real messages now."""
    rows = None if fresh else truth.cached()
    if not rows:
        up(stay)
        say("finding out the truth with real messages")
        rows, wrong = truth.measure()
        if wrong:
            raise Failed("the lab is not what its table says:\n  " + "\n  ".join(wrong) + f"\nEach attempt: {LOG}/attempts.jsonl")
        if not cases.MISSING:
            truth.keep(rows)
    return rows

def work(a, stay):
    """One command; the exit code."""
    if a.command == "up":
        up(stay)
    elif a.command == "truth":
        for row in truth_rows(a.fresh, stay):
            print(json.dumps(row))
    elif a.command == "run":
        if not os.access(a.binary, os.X_OK):
            raise Failed(f"{a.binary}: no such program")
        started, rows = time.time(), truth_rows(a.fresh, stay)
        up(stay)        # again, if messages were sent: with empty queues and no memory of retries
        return compare.run(os.path.abspath(a.binary), rows, started)

def main():
    parser = argparse.ArgumentParser(prog="lab.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    p = {name: sub.add_parser(name) for name in ("up", "down", "missing", "truth", "run", "exec")}
    for name in ("truth", "run"):
        p[name].add_argument("--fresh", action="store_true")
    p["run"].add_argument("--keep", action="store_true")
    p["run"].add_argument("binary", metavar="BINARY")
    p["exec"].add_argument("vantage", choices=VANTAGES)
    p["exec"].add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")
    a = parser.parse_args()
    if a.command == "exec":
        if not supervisor_pid():
            raise Failed("not up")
        os.execvp("ip", in_ns(VANTAGES[a.vantage], *a.words))
    lines = list(missing()) if a.command != "down" or os.geteuid() else []
    for line in lines or ["nothing"] * (a.command == "missing"):
        print("lab: missing: " + line)
    if lines or a.command == "missing":
        sys.exit(77 if lines else 0)
    lock = open(LOCKFILE, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Failed(f"another call is at work ({LOCKFILE})")
    for s in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda *_: sys.exit(1))        # so that `finally` tears down
    stay = a.command == "up" or getattr(a, "keep", False) or a.command == "truth" and supervisor_pid() is not None
    done = False
    try:
        code = work(a, stay)
        done = True
    finally:
        if not (stay and done):
            down()
    sys.exit(code)

if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit(f"lab: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
