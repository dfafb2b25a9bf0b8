"""Small servers of the lab's own. As a program: daemons.py KIND ARGUMENT…

    dns ADDRESS             names of the lab, nothing else; asks nobody
    canary ADDRESS FILE     the MX of example.net: takes every message, writes a JSON line for each
    fakes KIND@ADDRESS@PORT…   ssh, http, silent, close: things that are not SMTP
    aiosmtpd KIND@ADDRESS@PORT…   sink, proxy: the real library
    twisted KIND@ADDRESS@PORT…    its own domain only
"""
import asyncio, ipaddress, json, socket, struct, sys

CANARY = "203.0.113.25"
MX = {"org.example": [(10, "mx.org.example")], "example.net": [(10, "mx.example.net")], "outsider.example": [(10, "mx.example.net")],
      "mxtrick.example.net": [(5, "mx.example.net"), (20, "h101.org.example")]}     # its owner, an outsider, names a host of the organisation
A = {"org.example": "198.51.100.10", "mx.org.example": "198.51.100.10", "mx.example.net": CANARY,
     "scanner.example.net": "203.0.113.10", "other.example.net": "203.0.113.77"}
NAMES = {CANARY: "mx.example.net", "203.0.113.10": "scanner.example.net", "203.0.113.77": "other.example.net", "10.20.250.10": "scanner.org.example",
         "10.20.1.1": "fw.org.example", "2001:db8:113::10": "scanner.example.net"}
for n in range(2, 255):
    NAMES[f"198.51.100.{n}"], NAMES[f"10.20.1.{n}"] = f"h{n}.org.example", f"i{n}.org.example"
A |= {name: ip for ip, name in NAMES.items() if name not in A and ":" not in ip}
PTR = {ipaddress.ip_address(ip).reverse_pointer: name for ip, name in NAMES.items()}
TXT = {"org.example": b"v=spf1 ip4:198.51.100.0/24 -all"}

def labels(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"

def answer(query):
    ident, flags = struct.unpack(">HH", query[:4])
    i, parts = 12, []
    while query[i]:
        parts.append(query[i + 1:i + 1 + query[i]].decode("ascii").lower())
        i += query[i] + 1
    kind, name = query[i + 2], ".".join(parts)
    mx = MX.get(name) or (MX["example.net"] if name.endswith(".example.net") and name not in A else [])
    known = {1: name in A and [socket.inet_aton(A[name])], 12: name in PTR and [labels(PTR[name])],
             15: [struct.pack(">H", preference) + labels(host) for preference, host in mx], 16: name in TXT and [bytes([len(TXT[name])]) + TXT[name]]}
    data, code = known.get(kind) or [], 0 if any(known.values()) else 3
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(d)) + d for d in data)
    authority = b"" if data else b"\0" + struct.pack(">HHIH", 6, 1, 60, 22) + b"\0\0" + struct.pack(">5I", 1, 60, 60, 60, 60)
    return struct.pack(">6H", ident, 0x8480 | flags & 0x0100 | code, 1, len(data), bool(authority), 0) + query[12:i + 5] + records + authority

class DNS(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        try:
            self.transport.sendto(answer(data), peer)
        except (IndexError, struct.error, UnicodeError):
            pass        # not a question

async def dns(address):
    await asyncio.get_running_loop().create_datagram_endpoint(DNS, local_addr=(address, 53))

async def canary(address, path):
    out = open(path, "a", buffering=1)

    async def session(r, w):
        peer, rcpt = w.get_extra_info("peername")[0], []
        w.write(b"220 mx.example.net ESMTP\r\n")
        while verb := (await r.readline()).decode("latin-1").strip():
            if verb.upper().startswith("RCPT TO:"):
                rcpt.append(verb[8:].strip().split(" ")[0])
            elif verb.upper() == "DATA":
                w.write(b"354 go on\r\n")
                while (line := await r.readline()) not in (b".\r\n", b""):
                    pass
                if line:
                    out.write(json.dumps({"peer": peer, "rcpt": rcpt}) + "\n")
                    rcpt = []
            w.write({"QUIT": b"221 bye\r\n", "EHLO": b"250-mx.example.net\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"}.get(verb.upper()[:4], b"250 ok\r\n"))

    await serve(session, address, 25)

FAKES = {   # greeting, answer to the first line; None: hangs up before that
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n", b"Invalid SSH identification string.\r\n"),
    "http": (b"", b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    "silent": (b"", b""), "close": (b"", None)}

async def fakes(*specs):
    for spec in specs:
        kind, address, port = spec.split("@")

        async def session(r, w, greeting=FAKES[kind][0], answer=FAKES[kind][1]):
            w.write(greeting)
            while answer is not None and await r.readline() and not answer:
                pass
            w.write(answer or b"")
        await serve(session, address, int(port))

async def aiosmtpd(*specs):
    from aiosmtpd.handlers import Proxy, Sink
    from aiosmtpd.smtp import SMTP

    for spec in specs:
        kind, address, port = spec.split("@")
        handler = {"sink": Sink, "proxy": lambda: Proxy(CANARY, 25)}[kind]()
        await asyncio.get_running_loop().create_server(lambda h=handler: SMTP(h, hostname="mx.org.example"), address, int(port))

def twisted(*specs):
    from twisted.internet import reactor
    from twisted.mail import smtp
    from zope.interface import implementer

    @implementer(smtp.IMessage)
    class Message:
        def lineReceived(self, line):
            pass

        def eomReceived(self):
            from twisted.internet.defer import succeed
            return succeed(None)

        def connectionLost(self):
            pass

    @implementer(smtp.IMessageDelivery)
    class Delivery:
        def receivedHeader(self, helo, origin, recipients):
            return b"Received: by mx.org.example"

        def validateFrom(self, helo, origin):
            return origin

        def validateTo(self, user):
            if user.dest.domain.lower() != b"org.example" or user.dest.local.lower() not in (b"alice", b"info", b"postmaster", b"abuse"):
                raise smtp.SMTPBadRcpt(user)
            return Message

    class Factory(smtp.SMTPFactory):
        protocol = smtp.ESMTP

        def buildProtocol(self, address):
            p = smtp.SMTPFactory.buildProtocol(self, address)
            p.delivery = Delivery()
            return p

    for spec in specs:
        _, address, port = spec.split("@")
        reactor.listenTCP(int(port), Factory(), interface=address)
    reactor.run()

async def serve(handler, address, port):
    async def session(r, w):
        try:
            await handler(r, w)
            await w.drain()
        except (OSError, ValueError):
            pass
        finally:
            w.close()

    await asyncio.start_server(session, address, port)

async def main(kind, *args):
    await {"dns": dns, "canary": canary, "fakes": fakes, "aiosmtpd": aiosmtpd}[kind](*args)
    await asyncio.Event().wait()

if __name__ == "__main__":
    twisted(*sys.argv[2:]) if sys.argv[1] == "twisted" else asyncio.run(main(*sys.argv[1:]))
