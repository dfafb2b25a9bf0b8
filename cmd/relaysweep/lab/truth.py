"""Truth by real messages. Every row gets one message for each vector, each for a recipient of its own; a row is open
by a vector when that recipient came to the canary. As a program: the sender, within the namespace of a vantage."""
import base64, hashlib, json, os, random, re, signal, socket, ssl, string, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
import cases, net, roots
from common import *

VECTORS = ("plain", "null", "own-domain", "own-user", "own-helo", "from-literal", "percent", "quoted", "quoted-at", "bang", "source-route", "starttls",
           "xclient", "any-auth", "anonymous", "mx-trick", "label", "utf8", "retry", "proxy-header", "source-port", "other-source")
APPROACHES = VECTORS[-3:]   # ways in to listeners that others do not reach
QUIET, LONGEST = 4, 120     # seconds without news after which no more mail is expected; and in any case
GREY = 17                   # seconds after which a message that was put off is sent once more

class Stop(Exception):
    """The dialogue ended here, with these words."""

class Session:
    stage, socket, buffer = "connect", None, b""

    def connect(self, row, source, patience):
        self.socket, self.buffer = socket.socket(socket.AF_INET6 if ":" in row["address"] else socket.AF_INET), b""
        if source:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(source)
        self.socket.settimeout(6)
        self.socket.connect((row["address"], row["port"]))
        self.stage = "greeting"
        self.socket.settimeout(patience)

    def tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def reply(self, wanted=""):
        """One whole reply. Another code than wanted ends the dialogue."""
        lines = []
        while not lines or lines[-1][3:4] == "-":
            while b"\n" not in self.buffer:
                data = self.socket.recv(4096)
                if not data:
                    raise Stop("connection closed")
                self.buffer += data
            line, self.buffer = self.buffer.split(b"\n", 1)
            lines.append(line.decode("latin-1").strip())
            if not re.match(r"\d{3}([ -]|$)", lines[-1]):
                raise Stop("not SMTP: " + lines[-1])
        if not lines[-1].startswith(wanted):
            raise Stop(lines[-1])
        return "\n".join(lines).upper()

    def command(self, stage, line, wanted=""):
        self.stage = stage
        self.socket.sendall(line.encode() + b"\r\n")
        return self.reply(wanted)

    def hello(self, name):
        self.socket.settimeout(30)
        said = self.command("hello", "EHLO " + name)
        return said if said.startswith("250") else self.command("hello", "HELO " + name, "25")

    def authenticate(self, offers, mechanisms):
        """AUTH by the first of the mechanisms that is offered, with a user and a password that nobody has."""
        offered = re.findall(r"\b(" + "|".join(mechanisms) + r")\b", " ".join(l for l in offers.splitlines() if l[4:8] == "AUTH"))
        if not offered:
            raise Stop("not offered")
        user, words = "nobody-" + "".join(random.choices(string.ascii_lowercase, k=6)), {"ANONYMOUS": "probe"}
        if "LOGIN" == offered[0]:
            self.command("auth", "AUTH LOGIN", "334")
            self.command("auth", base64.b64encode(user.encode()).decode(), "334")
            return self.command("auth", base64.b64encode(b"wrong").decode(), "235")
        word = words.get(offered[0], f"\0{user}\0wrong").encode()
        self.command("auth", f"AUTH {offered[0]} " + base64.b64encode(word).decode(), "235")

def dialogue(s, row, vector, token):
    v6 = ":" in row["address"]
    sources = {"source-port": (row["own"], 25), "other-source": (OTHER_SOURCE, 0)}
    if vector in sources and (v6 or vector == "other-source" and row["vantage"] != "outside"):
        raise Stop("not from here")
    s.connect(row, sources.get(vector), 8 if vector in APPROACHES else 20)
    if vector == "proxy-header":
        s.socket.sendall(f"PROXY TCP4 127.0.0.1 {row['address']} 1 {row['port']}\r\n".encode())
    if row["tls"] == "implicit":
        s.tls()
    s.reply("22")
    name = DOMAIN if vector == "own-helo" else "scanner.example.net"
    offers = s.hello(name)
    mechanisms = {"any-auth": ("PLAIN", "LOGIN"), "anonymous": ("ANONYMOUS",)}.get(vector)
    if row["tls"] == "starttls" or vector == "starttls" or mechanisms and "AUTH" not in offers and "STARTTLS" in offers:
        if "STARTTLS" not in offers:
            raise Stop("not offered")
        s.command("starttls", "STARTTLS", "22")
        s.tls()
        offers = s.hello(name)
    if mechanisms:
        s.authenticate(offers, mechanisms)
    if vector == "xclient" and "XCLIENT" not in offers or vector == "utf8" and "SMTPUTF8" not in offers:
        raise Stop("not offered")
    if vector == "xclient":
        s.command("xclient", "XCLIENT ADDR=127.0.0.1 NAME=localhost", "22")
        s.hello(name)
    literal = f"[IPv6:{row['address']}]" if v6 else f"[{row['address']}]"
    sender = {"null": "", "own-domain": f"nobody-{token[-4:]}@{DOMAIN}", "own-user": f"alice@{DOMAIN}", "from-literal": f"probe@{literal}"}.get(vector, "probe@outsider.example")
    recipient = {"percent": f"{token}%{CANARY_DOMAIN}@{DOMAIN}", "quoted": f'"{token}@{CANARY_DOMAIN}"', "quoted-at": f'"{token}@{CANARY_DOMAIN}"@{DOMAIN}',
                 "bang": f"{CANARY_DOMAIN}!{token}@{DOMAIN}", "source-route": f"@{DOMAIN}:{token}@{CANARY_DOMAIN}",
                 "mx-trick": f"{token}@mxtrick.{CANARY_DOMAIN}", "label": f"{token}@{DOMAIN}.{CANARY_DOMAIN}", "utf8": f"{token}@ü.{CANARY_DOMAIN}"}.get(vector, f"{token}@{CANARY_DOMAIN}")
    s.command("mail", f"MAIL FROM:<{sender}>" + " SMTPUTF8" * (vector == "utf8"), "25")
    s.command("rcpt", f"RCPT TO:<{recipient}>", "25")
    s.command("data", "DATA", "35")
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    s.command("dot", f"From: probe@outsider.example\r\nTo: {token}@{CANARY_DOMAIN}\r\nSubject: truth {token}\r\nDate: {date}\r\n"
                     f"Message-ID: <{token}@outsider.example>\r\n\r\ntruth {token}\r\n.", "25")
    s.command("taken", "QUIT")

def again(s, row, token):
    """A message that is put off is sent once more, as it was."""
    try:
        dialogue(s, row, "retry", token)
    except Stop as e:
        if s.stage != "rcpt" or not str(e).startswith("4"):
            raise
    if s.stage == "taken":
        raise Stop("not put off")
    s.socket.close()
    time.sleep(GREY)
    dialogue(s, row, "retry", token)

def attempt(row, vector):
    token = "t" + "".join(random.choices(string.ascii_lowercase + string.digits, k=12))
    s, text, started = Session(), "", time.time()
    try:
        again(s, row, token) if vector == "retry" else dialogue(s, row, vector, token)
    except (Stop, OSError) as e:
        text = f"{type(e).__name__}: {e}"
    if s.socket:
        s.socket.close()
    return {"id": row["id"], "vantage": row["vantage"], "vector": vector, "token": token, "stage": s.stage, "text": text, "seconds": round(time.time() - started, 1)}

def attempts(row):
    """One message by each vector; where the first finds nobody to talk to, by the ways in alone."""
    first = attempt(row, VECTORS[0])
    rest = APPROACHES if first["stage"] in ("connect", "greeting") else VECTORS[1:]
    return [first] + [attempt(row, v) for v in rest if not row["only"] or v in row["only"]]

def send(vantage):
    """All messages of a vantage, sent by this program within its namespace."""
    rows = [{"id": c.id, "vantage": vantage, "address": c.ip, "port": c.port, "tls": c.tls, "own": SCANNER[vantage],
             "only": [*c.by(vantage), "null", "own-user", "percent"] if c.slow else []} for c, _, _ in cases.rows(vantage)]
    return json.loads(subprocess.run(tied(*in_ns(VANTAGES[vantage], *PYTHON, HERE + "/truth.py")), input=json.dumps(rows), stdout=subprocess.PIPE, text=True, check=True).stdout)

def arrived(path):
    return set(re.findall(r'<(?:@[^:>]*:)?\\*"?(t[a-z0-9]{12})\\*"?@(?:[^@<>:]*\.)?example\.net>', open(path).read(), re.I))

@contextmanager
def canary(path):
    """The MX of example.net, at work within the `with`; a line in `path` for each message."""
    write(path, "")
    p = subprocess.Popen(tied(*in_ns(OUTSIDE, *PYTHON, HERE + "/daemons.py", "canary", CANARY, path)))
    try:
        if not wait_for(lambda: (CANARY, 25) in net.listening(OUTSIDE), 10):
            raise Failed("the canary does not listen")
        yield
    finally:
        p.kill()
        p.wait()

def measure():
    """Send everything, wait for the mail, return (truth rows, disagreements with the table). The lab must be up."""
    path, started = RUN + "/canary.jsonl", time.time()
    with canary(path):
        with ThreadPoolExecutor() as pool:
            sent = sum(pool.map(send, VANTAGES), [])
        say(f"  {len(sent)} attempts in {time.time() - started:.0f} s, waiting for the mail")
        by_row = {(c.id, v): [a for a in sent if (a["id"], a["vantage"]) == (c.id, v)] for c, v, _ in cases.rows()}
        expected = {a["token"] for c, v, verdict in cases.rows() if verdict == "open" for a in by_row[c.id, v] if a["vector"] in c.by(v)}
        home, news, end = set(), time.time(), time.time() + LONGEST
        while time.time() < end and not (expected <= home and time.time() - news > QUIET):
            time.sleep(0.5)
            before, home = home, arrived(path)
            news = time.time() if home != before else news
    write(LOG + "/attempts.jsonl", "".join(json.dumps({**a, "home": a["token"] in home}) + "\n" for a in sent))
    rows, wrong = [], []
    for c, vantage, expected in cases.rows():
        row = judge(c, vantage, by_row[c.id, vantage], home)
        rows.append(row)
        if row["verdict"] != expected or expected == "open" and not set(c.by(vantage)) <= set(row["vectors"]):
            wrong.append(f"{c.id} from {vantage}: expected {expected}{' by ' * (expected == 'open')}{', '.join(c.by(vantage) if expected == 'open' else ())}; measured {row['verdict']} by {', '.join(row['vectors']) or 'nothing'}")
    return rows, wrong

def judge(c, vantage, sent, home):
    vectors = [a["vector"] for a in sent if a["token"] in home]
    first = sent[0]
    if vectors:
        verdict = "open"
    elif first["stage"] == "connect":
        verdict = "filtered" if "timed out" in first["text"] else "dead"
    elif first["stage"] in ("greeting", "hello"):
        verdict = "notsmtp"
    elif any(a["stage"] == "taken" and a["vector"] in ("plain", "null") for a in sent):
        verdict = "sink"
    else:
        verdict = "closed"
    return {"id": c.id, "address": c.ip, "port": c.port, "vantage": vantage, "verdict": verdict,
            "is_smtp": verdict in ("open", "sink", "closed"), "vectors": vectors, "reason": c.why}

def stamp():
    """What truth depends on: the lab's own files and the packages installed."""
    files = [f"{HERE}/{f}" for f in sorted(os.listdir(HERE)) if f.endswith((".py", ".js", ".txt")) and f not in ("compare.py", "lab.py", "roots.py")]
    files += filter(os.path.exists, (f"{ROOTS}/{name}/upper/var/lib/dpkg/status" for name in roots.recipes()))
    return hashlib.sha256(b"".join(open(f, "rb").read() for f in files) + json.dumps(roots.recipes()).encode()).hexdigest()

def cached():
    """The rows measured before, if nothing has changed since."""
    try:
        first, *lines = open(STATE + "/truth.jsonl").read().splitlines()
        return [json.loads(l) for l in lines] if json.loads(first) == {"stamp": stamp()} else None
    except (OSError, ValueError):
        return None

def keep(rows):
    write(STATE + "/truth.jsonl", "".join(json.dumps(d) + "\n" for d in ({"stamp": stamp()}, *rows)))

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with ThreadPoolExecutor(100) as pool:
        print(json.dumps(sum(pool.map(attempts, json.load(sys.stdin)), [])))
