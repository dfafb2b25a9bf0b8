package probe_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"relaysweep/probe"
	"relaysweep/probe/smtp"
	"relaysweep/probe/smtp/smtptest"
	"relaysweep/ratelimit"
)

// What one finding may hold in all its strings, and its transcripts alone: of a server of the table, and at worst.
const (
	maxFinding     = 64 << 10
	maxHostile     = 96 << 10
	maxTranscripts = 52 << 10 // 40 KiB, and a little of each of 32 connections
)

// The first bytes of a fuzz input are the server's character: what it says if nothing else is decided.
const (
	isFlags = iota
	isMore
	isGreeting
	isEHLO
	isMail
	isForeign
	isRoute
	isLocal
	isData
	isEnd
	isOther
	isPatience // errors until it hangs up; 0: any number
	isHost
	character
)

// Flags.
const (
	realTime    = 1 << iota // the budget passes in real time, else pauses take none
	stopLow                 // at accepted
	stopHigh                // at delivered
	implicitTLS             //
	offersTLS               //
	offersAuth              //
	goesRound               // the bytes are read again from the start, not followed by good behaviour
	fewKnown                // no names of the organisation are configured
)

// More flags.
const (
	fat        = 1 << iota // a certificate of 100 kB
	patient                // 16 connections, not 5
	forgedOnly             // relays for senders of its own domain alone
	insideOnly             // relays inside TLS alone
	noHELO                 // knows HELO alone
	optIns                 // every row of the table is tried, and what they need is offered
	gentle                 // at most four refusals in ten minutes
	asksUsers              // VRFY, and another source
)

var greetings = []string{
	"220 mx.org.example ESMTP Postfix (Debian/GNU)\r\n", "220 mx.org.example ESMTP\r\n", "220-mx.org.example\r\n220 ESMTP ready\r\n", "220 mx.org.example ESMTP OpenSMTPD\r\n",
	"220 ********\r\n", "220\r\n", "220 [127.0.0.1] Microsoft ESMTP MAIL Service\r\n", "220 a.very.long.name.of.a.host.example ESMTP Exim 4.98\r\n",
	"421 4.3.2 busy\r\n", "554 5.7.1 no service\r\n", "220 ftp server ready\r\n", "", "SSH-2.0-x\r\n", "250 mx.org.example\r\n", "220 \x00\xff\x1b[2J.example\r\n", "220 $H ESMTP\r\n",
}

// answers are what it may say to any command: good ones, refusals, and what comes at the wrong place.
var answers = []string{
	"250 2.1.0 Ok\r\n", "250 ok\r\n", "250-first\r\n250 last\r\n", "354 go ahead\r\n", "221 bye\r\n", "251 will forward\r\n", "252 cannot say\r\n", "220 ready\r\n",
	"454 4.7.1 Relay access denied\r\n", "550 5.7.1 Relaying denied\r\n", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain\r\n", "554 5.7.1 <x>: Client host rejected: Access denied\r\n",
	"530 SMTP authentication is required.\r\n", "530 5.7.0 Must issue a STARTTLS command first\r\n", "503 5.5.1 bad sequence\r\n", "501 5.5.4 syntax\r\n", "500 what?\r\n", "502 5.5.2 no\r\n", "555 5.5.4 no such parameter\r\n",
	"450 4.2.0 Greylisted, try again later\r\n", "451 4.3.0 later\r\n", "452 4.5.3 too many recipients\r\n", "421 4.7.0 too many errors\r\n", "550 5.1.1 User unknown\r\n", "550 5.1.8 Sender domain not found\r\n",
	"550-5.7.1 blocked\r\n550 5.7.1 using zen.spamhaus.org\r\n", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n", "250\r\n", "550\r\n", "250-a\r\n550 b\r\n", "250-\r\n", "2 50 ok\r\n",
	"150 wait\r\n", "600 x\r\n", "\r\n", "250 ok\n", "hello\r\n", "550 \x00\x1b[2J\xff\r\n",
}

// fuzzServer is a mail server whose behaviour is an input. Its connections come one after another.
type fuzzServer struct {
	data []byte
	at   int
	is   [character]byte

	mu       sync.Mutex
	score    smtptest.Score
	inStep   bool              // each command got one reply or none
	replies  []smtptest.Answer // in order
	wrong    []string          // what the prober must not do
	messages []string          // recipients and content of each message
}

func newFuzzServer(data []byte) *fuzzServer {
	s := &fuzzServer{inStep: true}
	n := copy(s.is[:], data)
	s.data = data[n:]
	return s
}

func (s *fuzzServer) flag(f byte) bool { return s.is[isFlags]&f != 0 }
func (s *fuzzServer) more(f byte) bool { return s.is[isMore]&f != 0 }

// next is the next byte of the input.
func (s *fuzzServer) next() byte {
	if s.at >= len(s.data) {
		if !s.flag(goesRound) || len(s.data) == 0 {
			return 0
		}
		s.at = 0
	}
	s.at++
	return s.data[s.at-1]
}

// some is a piece of the input.
func (s *fuzzServer) some() string {
	n := min(int(s.next()), len(s.data)-s.at)
	s.at += n
	return string(s.data[s.at-n : s.at])
}

func (s *fuzzServer) serve(l net.Listener) {
	for n := 0; ; n++ {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.score.Connections++
		s.score.PerConnection = append(s.score.PerConnection, nil)
		s.mu.Unlock()
		fc := &fuzzConn{s: s, number: n, conn: c, raw: c, in: bufio.NewReaderSize(c, 4096)}
		fc.run()
		fc.raw.Close()
	}
}

// fuzzConn is one connection to a fuzzServer.
type fuzzConn struct {
	s      *fuzzServer
	number int
	conn   net.Conn
	raw    net.Conn
	in     *bufio.Reader
	inTLS  bool
	errors int
	own    bool     // the sender is local
	rcpts  []string // that were named since MAIL
}

var fuzzTLS = sync.OnceValue(func() (out [2]*tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	for i, c := range []*x509.Certificate{
		{DNSNames: []string{"mx.org.example", "*.org.example"}},
		{Subject: pkix.Name{CommonName: strings.Repeat("n", 30_000), Organization: []string{strings.Repeat("\x1b[", 10_000)}}, DNSNames: slices.Repeat([]string{strings.Repeat("label.", 600) + "example"}, 12)},
	} {
		c.SerialNumber, c.NotAfter = big.NewInt(1), time.Unix(1<<31, 0)
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		out[i] = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	}
	return out
})

func (c *fuzzConn) startTLS() bool {
	config := fuzzTLS()[0]
	if c.s.more(fat) {
		config = fuzzTLS()[1]
	}
	c.raw.SetDeadline(time.Now().Add(time.Second))
	t := tls.Server(&ahead{c.raw, c.in}, config)
	if t.Handshake() != nil {
		return false
	}
	c.conn, c.in, c.inTLS, c.rcpts = t, bufio.NewReaderSize(t, 4096), true, nil
	return true
}

func (c *fuzzConn) run() {
	s := c.s
	if s.flag(implicitTLS) && !c.startTLS() {
		return
	}
	if !c.answer("", strings.ReplaceAll(greetings[int(s.is[isGreeting])%len(greetings)], "$H", hosts[int(s.is[isHost])%len(hosts)])) {
		return
	}
	for {
		c.raw.SetReadDeadline(time.Now().Add(2 * time.Second))
		line, err := c.in.ReadSlice('\n')
		if len(line) > 2 && !c.inTLS && line[0] == 0x16 && line[1] == 3 {
			return // a hello where we speak no TLS
		}
		if err != nil {
			if len(line) > 0 && err != io.EOF {
				c.wrong("half a line: %q", line)
			}
			return
		}
		text, ok := strings.CutSuffix(string(line), "\r\n")
		if !ok || len(line) > 514 || strings.Trim(strings.ReplaceAll(text, "ü", ""), asciiText) != "" {
			c.wrong("no command line: %q", line)
		}
		s.mu.Lock()
		s.score.Commands = append(s.score.Commands, text)
		s.score.PerConnection[c.number] = append(s.score.PerConnection[c.number], text)
		s.mu.Unlock()
		if !c.command(text) {
			return
		}
	}
}

var asciiText = func() string {
	var b strings.Builder
	for r := byte(' '); r <= '~'; r++ {
		b.WriteByte(r)
	}
	return b.String()
}()

var hosts = []string{"mx.org.example", "x", "localhost", "mx.localhost", "127.0.0.1", "-.example", strings.Repeat("a.", 126) + "b", strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + ".example", "mx..example", "MX.Org.Example.", "a.b", "xn--bcher-kva.example", "m*x.example", "$ip.example"}

func (c *fuzzConn) wrong(format string, args ...any) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if len(c.s.wrong) < 8 {
		c.s.wrong = append(c.s.wrong, fmt.Sprintf(format, args...))
	}
}

// pick is the answer that the server's character gives.
func (s *fuzzServer) pick(i int, usual string) string {
	if s.is[i] == 0 {
		return usual
	}
	return answers[int(s.is[i]-1)%len(answers)]
}

// command answers one. It reports whether the connection goes on.
func (c *fuzzConn) command(line string) bool {
	s := c.s
	verb, _, _ := strings.Cut(line, " ")
	reply := ""
	switch verb {
	case "EHLO":
		c.rcpts = nil
		reply = "250-mx.org.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
		if s.more(optIns) {
			reply = "250-SMTPUTF8\r\n250-XCLIENT ADDR NAME\r\n250-AUTH CRAM-MD5 PLAIN LOGIN ANONYMOUS\r\n" + reply
		}
		if s.flag(offersAuth) {
			reply = "250-AUTH PLAIN LOGIN\r\n" + reply
		}
		if s.flag(offersTLS) && !c.inTLS {
			reply = "250-STARTTLS\r\n" + reply
		}
		if reply = s.pick(isEHLO, reply); s.more(noHELO) {
			reply = "502 5.5.2 Error: command not recognized\r\n"
		}
	case "HELO":
		c.rcpts = nil
		reply = "250 mx.org.example\r\n"
	case "MAIL":
		c.rcpts, c.own = nil, strings.Contains(line, "@org.example>")
		reply = s.pick(isMail, "250 2.1.0 Ok\r\n")
	case "RCPT":
		open := (!s.more(forgedOnly) || c.own) && (!s.more(insideOnly) || c.inTLS)
		switch to := strings.TrimPrefix(line, "RCPT TO:"); {
		case !open:
			reply = "454 4.7.1 Relay access denied\r\n"
		case strings.HasSuffix(to, "@org.example>") && strings.Count(to, "@") == 1 && !strings.ContainsAny(to, `%!"`):
			reply = s.pick(isLocal, "550 5.1.1 User unknown\r\n")
		case strings.ContainsAny(to, `%!":[`) || strings.Count(to, "@") > 1 || !strings.HasPrefix(to, "<"):
			reply = s.pick(isRoute, "550 5.7.1 Relaying denied\r\n")
		default:
			reply = s.pick(isForeign, "454 4.7.1 Relay access denied\r\n")
		}
		c.rcpts = append(c.rcpts, strings.TrimPrefix(line, "RCPT TO:"))
	case "DATA":
		reply = s.pick(isData, "354 go ahead\r\n")
	case "STARTTLS":
		if !s.flag(offersTLS) {
			reply = "502 5.5.1 no TLS\r\n"
			break
		}
		if s.next() < 0xa0 {
			c.say("220 ready\r\n")
			return c.startTLS()
		}
		reply = answers[int(s.next())%len(answers)]
	case "PROXY":
		s.inStep = false
		if s.is[isOther] == 0 {
			return true
		}
		reply = s.pick(isOther, "")
	case "AUTH":
		reply = s.pick(isOther, "334 PDFAbXg+\r\n")
	case "QUIT":
		c.say("221 bye\r\n")
		return s.next() >= 0xa0
	default:
		reply = s.pick(isOther, "250 ok\r\n")
	}
	if !c.answer(line, reply) {
		return false
	}
	if c.errors > int(s.is[isPatience]) && s.is[isPatience] > 0 {
		c.say("421 4.7.0 too many errors\r\n")
		return false
	}
	return true
}

// answer says what was asked for, unless the input has other plans. It reports whether the connection goes on.
func (c *fuzzConn) answer(line, reply string) bool {
	s := c.s
	goOn := true
	switch what := s.next(); {
	case what < 0xa0:
	case what < 0xb0:
		reply = answers[int(s.next())%len(answers)]
	case what < 0xb8:
		reply = strconv.Itoa(200+int(s.next())*2) + " " + s.some() + "\r\n"
	case what < 0xc0:
		reply = s.some()
	case what == 0xc0: // says nothing
		reply = ""
	case what == 0xc1:
		return false
	case what == 0xc2:
		c.raw.(*net.TCPConn).SetLinger(0)
		return false
	case what == 0xc3:
		goOn = false
	case what == 0xc4: // twice in one piece
		s.inStep = false
		reply += reply
	case what == 0xc5: // twice, the second one late
		s.inStep = false
		c.note(line, reply)
		c.say(reply)
		time.Sleep(time.Millisecond)
	case what == 0xc6: // byte by byte
		c.note(line, reply)
		for i := range len(reply) {
			if !c.say(reply[i : i+1]) {
				return false
			}
		}
		return c.message(reply)
	case what == 0xc7: // many lines
		if len(reply) > 4 {
			n := int(s.next())
			reply = strings.Repeat(reply[:3]+"-"+strings.Repeat("x", n)+"\r\n", 300) + reply
		}
	case what == 0xc8: // a long line
		reply = strings.TrimRight(reply, "\r\n") + strings.Repeat("y", 40*int(s.next())) + "\r\n"
	case what == 0xc9: // no line end
		reply = strings.TrimRight(reply, "\r\n")
	case what == 0xca:
		reply = strings.ReplaceAll(reply, "\r\n", "\n")
	case what == 0xcb: // never the last line
		if len(reply) > 4 {
			reply = reply[:3] + "-" + reply[4:]
		}
	case what == 0xcc: // with something behind it
		s.inStep = false
		reply += s.some()
	case what == 0xcd:
		c.startTLS()
		return false
	case what == 0xce: // long, as many as a limit allows
		reply = reply[:min(3, len(reply))] + strings.TrimRight(strings.Repeat("-"+strings.Repeat("z", 1000)+"\r\n"+reply[:min(3, len(reply))], 14)+" end", " ") + "\r\n"
	case what == 0xcf:
		time.Sleep(10 * time.Millisecond)
	default:
	}
	c.note(line, reply)
	return c.say(reply) && goOn && c.message(reply)
}

func (c *fuzzConn) note(line, reply string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if reply != "" && line != "" {
		if strings.Count(reply, "\n") > 1 { // it may be more than one
			for l := range strings.Lines(reply) {
				if len(l) > 3 && l[3] != '-' && !strings.HasSuffix(reply, l) {
					c.s.inStep = false
				}
			}
		}
		last := strings.TrimRight(reply, "\r\n")
		last = last[strings.LastIndexByte(last, '\n')+1:]
		c.s.replies = append(c.s.replies, smtptest.Answer{Line: line, Reply: last[:min(len(last), 80)]})
		if reply[0] >= '4' {
			c.errors++
		}
	}
}

// message reads what comes after a 354 to DATA, if that was one.
func (c *fuzzConn) message(reply string) bool {
	lines := c.s.score.PerConnection[c.number]
	if len(lines) == 0 || lines[len(lines)-1] != "DATA" || !strings.HasPrefix(reply, "354") || strings.Count(reply, "\n") != 1 || !strings.HasSuffix(reply, "\n") {
		return true
	}
	var content strings.Builder
	content.WriteString(strings.Join(c.rcpts, "\n") + "\n\n")
	for {
		c.raw.SetReadDeadline(time.Now().Add(2 * time.Second))
		line, err := c.in.ReadSlice('\n')
		c.s.mu.Lock()
		c.s.score.ContentBytes += int64(len(line))
		c.s.mu.Unlock()
		if len(line) > 1000 {
			c.wrong("a line of content of %d bytes", len(line))
		}
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			break
		}
		content.Write(line)
	}
	c.s.mu.Lock()
	c.s.messages = append(c.s.messages, content.String())
	c.s.score.Messages++
	c.s.mu.Unlock()
	c.rcpts = nil
	return c.answer(".", c.s.pick(isEnd, "250 2.0.0 queued\r\n"))
}

func (c *fuzzConn) say(text string) bool {
	c.raw.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := io.WriteString(c.conn, text)
	return err == nil
}

// prober is the one that probes this server.
func (s *fuzzServer) prober(port uint16) *probe.Prober {
	p := prober()
	p.MailPorts = []uint16{port}
	p.Limits = smtp.Limits{Greeting: 15 * time.Millisecond, Reply: 15 * time.Millisecond, Handshake: 60 * time.Millisecond, Settle: 2 * time.Millisecond}
	p.Connections = 5
	if s.more(patient) {
		p.Connections = 16
	}
	if s.flag(realTime) {
		p.Budget = 150 * time.Millisecond
	}
	if s.flag(stopLow) {
		p.StopAt = probe.Accepted
	}
	if s.flag(stopHigh) {
		p.StopAt = probe.Delivered
	}
	if s.more(optIns) { // but those that wait two seconds for a reply that may never come
		p.Vectors = slices.DeleteFunc(probe.Vectors(), func(v probe.Vector) bool { return v.ID == "I11" || v.ID == "I12" })
	}
	if s.more(gentle) && !s.flag(realTime) {
		p.Gentle = ratelimit.NewWindow(4, 10*time.Minute)
	}
	if s.more(asksUsers) {
		p.VRFY, p.Sources = true, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0")}
	}
	if s.flag(fewKnown) {
		p.Domains, p.Senders, p.HELO = nil, nil, ""
		p.Lookup = func(context.Context, netip.Addr) []string {
			return []string{hosts[int(s.is[isHost])%len(hosts)], s.seedName()}
		}
	}
	return p
}

// seedName is a name that the input holds.
func (s *fuzzServer) seedName() string { return string(s.data[:min(len(s.data), 40)]) }

// FuzzProber lets a whole probe meet a server that an input makes: mostly one that takes part in the dialogue, and
// departs from it where the input says.
func FuzzProber(f *testing.F) {
	for _, seed := range fuzzSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		meet(t, data)
	})
}

// fuzzSeeds are characters, and what each departure does at several places.
func fuzzSeeds() (out [][]byte) {
	is := func(flags, more byte, rest ...byte) []byte {
		b := make([]byte, character)
		b[isFlags], b[isMore] = flags, more
		copy(b[isGreeting:], rest)
		return b
	}
	closed, open := is(0, 0), is(0, 0, 0, 0, 0, 1, 1)
	out = append(out, closed, open, is(stopHigh, 0, 0, 0, 0, 1, 1), is(stopLow, 0, 0, 0, 0, 1, 1, 1), is(offersTLS|stopHigh, insideOnly, 0, 0, 0, 1, 1), is(implicitTLS, fat, 0, 0, 0, 1),
		is(offersTLS, fat, 0, 0, 14), is(offersAuth, forgedOnly, 0, 0, 0, 1), is(realTime|fewKnown, 0, 15, 0, 0, 1, 1), is(0, noHELO), is(0, optIns|asksUsers), is(offersTLS, optIns|asksUsers, 0, 0, 0, 0, 0, 0, 0, 0, 1), is(0, gentle), is(0, gentle, 0, 0, 0, 1, 1), is(stopHigh, optIns, 0, 0, 0, 9, 0, 0, 0, 0, 1), is(0, patient, 0, 0, 0, 20), is(goesRound, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 2))
	for g := range greetings {
		out = append(out, is(0, 0, byte(g)))
	}
	for what := byte(0xa0); what <= 0xcf; what++ {
		for at, who := range [][]byte{closed, open, closed, open, open} { // greeting, EHLO, MAIL, RCPT, DATA
			out = append(out, append(append(append(slices.Clone(who), make([]byte, at)...), what), 0x88, 0xff, 0x41))
		}
	}
	return out
}

// meet is one probe of a fuzzed server, and all that must hold of it.
func meet(t *testing.T, data []byte) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Skip(err) // out of ports
	}
	goroutines, current := runtime.NumGoroutine(), goleak.IgnoreCurrent()
	s := newFuzzServer(data)
	var wg sync.WaitGroup
	wg.Go(func() { s.serve(l) })
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	p := s.prober(addr.Port())
	began := time.Now()
	var found probe.Finding
	if s.flag(realTime) {
		found, err = p.Probe(t.Context(), opening(addr))
	} else {
		synctest.Test(t, func(t *testing.T) { found, err = p.Probe(t.Context(), opening(addr)) })
	}
	took := time.Since(began)
	l.Close()
	wg.Wait()
	if err != nil {
		t.Errorf("got error %v: what a server does is no error", err)
	}
	// In real time the budget rules; else 16 connections of some forty commands, each 15 ms at most.
	limit := 60 * time.Second
	if s.flag(realTime) {
		limit = 10 * (p.Budget + 100*time.Millisecond)
	}
	if took > limit {
		t.Errorf("took %v, want at most %v", took, limit)
	}
	if budget := 80*time.Second + time.Second; !s.flag(realTime) && !s.more(gentle) && found.Ended.Sub(found.Started) > budget {
		t.Errorf("took %v of the clock, want at most %v", found.Ended.Sub(found.Started), budget)
	}
	if runtime.NumGoroutine() != goroutines {
		if err := goleak.Find(current); err != nil {
			t.Error(err)
		}
	}
	s.check(t, p, found)
	bounded(t, found, maxHostile)
	if t.Failed() {
		t.Log(show(found))
	}
}

// check compares what the server saw with the laws, and the finding with what the server said.
func (s *fuzzServer) check(t *testing.T, p *probe.Prober, f probe.Finding) {
	t.Helper()
	for _, w := range s.wrong {
		t.Error(w)
	}
	score := s.score
	if !s.inStep { // a 354 that came as another command's reply: the prober hangs up on it, and no message ends
		score.ContentBytes = 0
	}
	if !s.flag(fewKnown) {
		lawful(t, p, score)
	}
	if p.StopAt != probe.Delivered && (score.ContentBytes > 0 || score.Messages > 0) {
		t.Errorf("sent %d bytes of content, %d messages", score.ContentBytes, score.Messages)
	}
	for _, m := range s.messages {
		envelope, content, _ := strings.Cut(m, "\n\n")
		own := false
		for _, a := range f.Attempts {
			own = own || strings.Contains(envelope, a.To) && strings.Contains(content, "X-Relaysweep-Canary: "+a.Canary+"\r\n")
		}
		if !own || strings.Contains(envelope, ".invalid") {
			t.Errorf("a message that is no attempt's: %q", m)
		}
	}
	if f.Connections > p.Connections {
		t.Errorf("%d connections, want at most %d", f.Connections, p.Connections)
	}
	thrifty(t, s.score.PerConnection)
	if s.inStep {
		refusedByIt(t, f, [][]smtptest.Answer{s.replies})
	}
}

// thrifty checks what can be counted of the client's lines alone: introductions, and commands that are no mail beside the
// first of them.
func thrifty(t *testing.T, connections [][]string) {
	t.Helper()
	for _, lines := range connections {
		hello, nonMail := 0, 0
		for _, line := range lines {
			switch verb, _, _ := strings.Cut(line, " "); verb {
			case "EHLO", "HELO":
				hello++
				nonMail++
			case "RSET", "STARTTLS", "NOOP", "VRFY", "HELP", "LHLO", "AUTH", "XCLIENT":
				nonMail++
			}
		}
		if hello > 3 || nonMail > 10 {
			t.Errorf("%d introductions, %d commands that are no mail, in one connection:\n%s", hello, nonMail, strings.Join(lines, "\n"))
		}
	}
}

// bounded checks that a finding is small, can be asked for all it knows, and shows nothing raw.
func bounded(t *testing.T, f probe.Finding, limit int) {
	t.Helper()
	transcripts := 0
	for i, session := range f.Sessions {
		transcripts += len(session.Transcript)
		if strings.Contains(f.Cut, "budget") && i == len(f.Sessions)-1 {
			continue // cut off by ourselves, perhaps before anything was said
		}
		if strings.Contains(session.Transcript, "that are no SMTP") || strings.Contains(session.Transcript, "more bytes are not kept") {
			continue // QMTP, of which a dialog knows nothing, or cut, perhaps in its first line
		}
		if _, err := smtptest.Parse("session", strings.NewReader(session.Transcript)); err != nil {
			t.Errorf("session %d is no dialog: %v\n%s", i+1, err, session.Transcript)
		}
	}
	if transcripts > maxTranscripts {
		t.Errorf("%d bytes of transcripts, want at most %d", transcripts, maxTranscripts)
	}
	shown := []string{f.Verdict().String(), string(f.Class()), f.Reason(), strings.Join(f.Opened(), " "), f.Cut, f.Note}
	for i := range f.Attempts {
		a := &f.Attempts[i]
		shown = append(shown, a.Verdict().String(), a.Reason(), a.Failure, strings.ReplaceAll(a.Transcript(), "\n", ""))
	}
	for _, text := range shown {
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }); i >= 0 {
			t.Errorf("raw bytes are shown: %q", text[i:min(len(text), i+60)])
			break
		}
	}
	if n := weight(f); n > limit {
		t.Errorf("the finding holds %d bytes of text, want at most %d: %s", n, limit, heaviest(f))
	}
}

// weight is how many bytes of text a value holds, each counted once.
func weight(v any) int { return weigh(reflect.ValueOf(v), make(map[*byte]bool)) }

func weigh(v reflect.Value, seen map[*byte]bool) (n int) {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if p := unsafe.StringData(s); len(s) > 0 && !seen[p] {
			seen[p] = true
			return len(s)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			n += weigh(v.Index(i), seen)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += weigh(v.Field(i), seen)
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type() == reflect.TypeFor[*probe.TLS]() {
			return weigh(v.Elem(), seen)
		}
	}
	return n
}

// heaviest names the fields of a finding that hold most.
func heaviest(f probe.Finding) string {
	v := reflect.ValueOf(f)
	var out []string
	for i := range v.NumField() {
		if n := weigh(v.Field(i), make(map[*byte]bool)); n > 1<<10 {
			out = append(out, fmt.Sprintf("%s %d", v.Type().Field(i).Name, n))
		}
	}
	return strings.Join(out, ", ")
}
