#!/usr/bin/env python3
"""What runs in the far namespace of the discovery lab: one command each, until it is ended.

    serve PORT…          accepts on these ports of all addresses
    beat ADDRESS         a datagram each 20 ms, for peers whose pcap blocks where nothing comes in
    meter CABLE FILE     how many packets came by a cable, and when
    capture CABLE FILE   each SYN that came by a cable: when, to whom
    flood CABLE MAC SEED forges answers to the scan that comes by, as fast as it can

Each says `ready` once it is."""
import os, random, select, selectors, signal, socket, struct, sys, time

SO_RCVBUFFORCE, SO_TIMESTAMPNS, SOL_PACKET, PACKET_STATISTICS = 33, 35, 263, 6
IP, ALL, TCP, ICMP, SYN, RST, ACK = 0x0800, 3, 6, 1, 2, 4, 16

ended = []

def ready():
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    print("ready", flush=True)

def serve(*ports):
    """Whoever connects hangs up first."""
    selector = selectors.DefaultSelector()
    for port in ports:
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", int(port)))
        s.listen(65535)
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, True)
    ready()
    while not ended:
        for key, _ in selector.select(1):
            try:
                if key.data:
                    selector.register(key.fileobj.accept()[0], selectors.EVENT_READ)
                elif key.fileobj.recv(256):
                    continue
                else:
                    raise ConnectionResetError
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                if not key.data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()

def beat(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ready()
    while not ended:
        try:
            s.sendto(b"beat", (address, 9))
        except OSError:
            pass        # an ICMP error came back
        time.sleep(0.02)

def meter(cable, name):
    """Lines of `BEFORE AFTER COUNT`: the count was read between these two moments (ns)."""
    fd = os.open(f"/sys/class/net/{cable}/statistics/rx_packets", os.O_RDONLY)
    read = lambda: int(os.pread(fd, 32, 0))
    with open(name, "w") as out:
        first = last = read()
        ready()
        while not ended:
            before = time.monotonic_ns()
            n = read()
            after = time.monotonic_ns()
            if n != last:
                last = n
                out.write(f"{before} {after} {n - first}\n")
            time.sleep(0.001)

def capture(cable, name):
    """Lines of `NS ADDRESS PORT`, and at the end `dropped N`."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 << 20)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.bind((cable, IP))
    s.setblocking(False)
    ready()
    with open(name, "w") as out:
        while True:
            try:
                b, extra, _, _ = s.recvmsg(64, 64)
            except BlockingIOError:
                if ended:
                    break
                select.select([s], [], [], 0.1)
                continue
            if len(b) >= 40 and b[9] == TCP and b[33] & (SYN | ACK) == SYN:
                seconds, ns = struct.unpack("qq", extra[0][2])
                out.write(f"{seconds * 10**9 + ns} {socket.inet_ntoa(b[16:20])} {b[22] << 8 | b[23]}\n")
        _, dropped = struct.unpack("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        out.write(f"dropped {dropped}\n")

def checksum(b):
    n = sum(struct.unpack(f"!{len(b) // 2}H", b[:len(b) & ~1])) + (b[-1] << 8 if len(b) & 1 else 0)
    while n >> 16:
        n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff

def ip(src, dst, protocol, payload, fragment=0, options=b""):
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(payload), random.getrandbits(16), fragment, 64, protocol, 0, src, dst) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload

def tcp(src, dst, sport, dport, seq, ack, flags):
    b = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0)
    return b[:16] + struct.pack("!H", checksum(src + dst + struct.pack("!BBH", 0, TCP, len(b)) + b)) + b[18:]

def forgeries(us, them, port, me):
    """What may look like an answer of `them` to our port, and knows no cookie."""
    n, number = random.choice((25, 465, 587, 2525)), lambda: random.getrandbits(32)
    def icmp(code, quoted):
        b = struct.pack("!BBHI", 3, code, 0, 0) + quoted
        return b[:2] + struct.pack("!H", checksum(b)) + b[4:]
    answer = lambda flags: tcp(them, us, n, port, number(), number(), flags)
    ours = lambda: ip(us, them, TCP, tcp(us, them, port, n, number(), 0, SYN))
    yield ip(them, us, TCP, answer(SYN | ACK))
    yield ip(them, us, TCP, answer(RST | ACK))
    yield ip(them, us, TCP, answer(RST))
    yield ip(them, us, TCP, answer(SYN))
    yield ip(them, us, TCP, answer(SYN | ACK), options=b"\1" * random.choice((4, 20, 40)))
    yield ip(me, us, ICMP, icmp(13, ours()))
    yield ip(me, us, ICMP, icmp(random.choice((0, 1, 3, 9, 10)), ours()[:random.choice((20, 24, 28, 40))]))
    yield ip(them, us, TCP, answer(SYN | ACK)[:8], fragment=0x2000)
    yield ip(them, us, TCP, answer(SYN | ACK), fragment=random.randrange(1, 0x1fff))
    yield ip(them, us, TCP, answer(SYN | ACK)[:random.randrange(20)])
    yield ip(me, us, ICMP, icmp(13, ours())[:random.randrange(36)])

def flood(cable, mac, seed):
    """It sees where the scan comes from and whom it asks, as any router on the way does."""
    random.seed(int(seed))
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IP))
    s.bind((cable, IP))
    ready()
    s.settimeout(0.2)
    seen = []
    while not ended and len(seen) < 400:
        try:
            b = s.recv(128)[14:]
        except TimeoutError:
            continue
        if len(b) >= 40 and b[9] == TCP and b[33] & (SYN | ACK) == SYN:
            seen.append((b[12:16], b[16:20], b[20] << 8 | b[21]))
    s.close()
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)     # hears nothing
    s.bind((cable, IP))
    ethernet = bytes.fromhex(mac.replace(":", "")) + b"\2\0\0\0\0\1\x08\0"
    frames = [ethernet + p for us, them, port in seen for p in forgeries(us, them, port, socket.inet_aton("10.60.0.2"))]
    random.shuffle(frames)
    sent = 0
    while not ended:
        for f in frames:
            try:
                s.send(f)
            except OSError:
                pass        # no room
        sent += len(frames)
    print(sent, flush=True)

if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
