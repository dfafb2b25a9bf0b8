package probe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"relaysweep/discover"
	"relaysweep/probe/fingerprint"
	"relaysweep/probe/smtp"
	"relaysweep/ratelimit"
)

// Prober turns openings into findings. Its fields are set before use and then left alone; it may be used by any number
// of goroutines.
type Prober struct {
	Dialer  *discover.Dialer
	Limiter *ratelimit.Limiter
	Limits  smtp.Limits

	Scan         string // id of the scan: part of every token
	Organisation string // named in canary messages, with Contact
	Contact      string
	Canary       Canary
	StopAt       Verdict  // Accepted, Ready (if zero) or Delivered
	Vectors      []Vector // if nil, the package's
	HELO         string   // our own name; our address literal if empty
	Domains      []string // mail domains of the organisation
	Senders      []string // existing local senders

	// Budget bounds the time spent on one service; 80 s if zero. What is not tried by then is unknown.
	Budget time.Duration
	// Connections bounds the connections to one service; 64 if zero: some hang up after every second refusal.
	Connections int
	// MailPorts are waited on for a greeting as long as RFC 5321 clients must; others only 10 s.
	MailPorts []uint16

	// Sources are further source addresses and ports, for what is open only to them (vector I13).
	Sources []netip.AddrPort
	// Serves are the mail domains of the organisation, the likeliest for an address first; nil: Domains as they are.
	Serves func(netip.Addr) []string
	// VRFY lets the server be asked which of the senders exist (RFC 5321 3.5). At most 5 questions.
	VRFY bool
	// Recog adds fingerprints of the operator; nil: none.
	Recog *fingerprint.Recog
	// Gentle bounds the refusals that a host sees from us; nil: the budgets of a connection are enough.
	Gentle *ratelimit.Window

	// Lookup names an address (PTR); nil: no names are looked up.
	Lookup func(context.Context, netip.Addr) []string
	// Before is called before each connection and each attempt, e.g. to write the audit log. An error stops the probe.
	Before func(t discover.Target, from netip.AddrPort, vector string) error
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Budgets of servers, below which no slowdown, disconnection or ban is known (Postfix smtpd_soft_error_limit 10, Exim
// smtp_max_synprot_errors 3 and smtp_accept_max_nonmail 10, sendmail MAXHELOCOMMANDS 3, Exchange MaxProtocolErrors 5).
const (
	maxRefusals     = 10 // refused recipients and senders in one connection
	maxRefusalsSlow = 18 // where a new connection costs a long greeting: Postfix's hard limit is 20
	maxSyntax       = 3  // syntax errors in one connection
	maxNonMail      = 9  // RSET, EHLO and the like in one connection
	maxBarren       = 16 // attempts in a row that the server hung up on, each twice
	maxHELO         = 3  // EHLO or HELO in one connection
	slowReply       = 5 * time.Second
	defaultBudget   = 80 * time.Second
)

func (p *Prober) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

func (p *Prober) stopAt() Verdict {
	if p.StopAt == Unknown {
		return Ready
	}
	return p.StopAt
}

func (p *Prober) vectors() []Vector {
	if p.Vectors == nil {
		return DefaultVectors()
	}
	return p.Vectors
}

// Probe looks at one opening. An error means that we could not look; what the server did is in the finding.
func (p *Prober) Probe(ctx context.Context, o discover.Opening) (Finding, error) {
	budget := p.Budget
	if budget == 0 {
		budget = defaultBudget
	}
	d := &dialogue{p: p, outer: ctx, left: budget, target: o.Target, source: o.Source, budget: budget, refusals: maxRefusals}
	d.start()
	defer func() { d.stop() }()
	d.f = Finding{Addr: o.Target.AddrPort(), Vantage: o.Vantage, Protocol: "unknown", Started: p.now()}
	if o.Source != (netip.AddrPort{}) {
		d.f.Source = discover.SourceText(o.Source)
	}
	if p.Lookup != nil {
		d.ptr = p.Lookup(d.ctx, d.f.Addr.Addr())
	}
	err := d.identify()
	if err == nil && d.f.SMTP() {
		err = d.relayTest()
	}
	d.hangUp()
	d.finish()
	if ctx.Err() != nil {
		return d.f, ctx.Err()
	}
	if errors.Is(err, errStopped) {
		return d.f, err
	}
	return d.f, nil
}

// errStopped is returned when Before refuses, errEnough where one service would get too many connections.
var (
	errStopped = errors.New("probe stopped")
	errEnough  = errors.New("stopped")
)

// dialogue is the work on one opening: at most one connection at a time.
type dialogue struct {
	p          *Prober
	outer      context.Context
	ctx        context.Context // ends with what is left of the budget
	stop       context.CancelFunc
	left       time.Duration // of the budget, at since
	since      time.Time
	budget     time.Duration
	target     discover.Target
	source     netip.AddrPort // where we come from, if not from the vantage's own
	header     string         // what must come before the greeting
	f          Finding
	ptr        []string
	names      names
	implicit   bool // the listener speaks TLS from the start
	needTLS    bool // it wants STARTTLS before anything
	useHELO    bool // it does not know EHLO
	startTLS   bool // STARTTLS was offered
	auth       bool // AUTH was offered
	oneHELO    bool // it takes one EHLO a connection
	asked      bool // the controls were asked
	barren     int  // attempts in a row without an answer
	proxyTried bool // a PROXY header was tried on a listener that did not greet
	refusals   int  // how many refusals this server bears in one connection
	// refusedEver counts refusals in all connections; booked are those that the gentle window holds for us.
	refusedEver, booked int
	slowest             time.Duration
	// slowGreeting: a new connection costs a long wait, so each one is used further.
	slowGreeting bool
	replies      int           // bytes of replies kept
	recent       [4]smtp.Reply // the latest replies, by turns
	turn         int
	// patient: it says more than it is asked, so each reply is waited behind. astray are the sessions before that was
	// known, whose replies may have been mistaken for one another's.
	patient  bool
	astray   []int
	previous string // the attempt before the server went away
	evidence fingerprint.Evidence
	first    smtp.Extensions // of the first EHLO
	inTLS    smtp.Extensions // of the latest EHLO after STARTTLS; nil: there was none

	*session // nil: not connected
}

// session is one connection after EHLO, with what it has used up.
type session struct {
	way
	conn     *smtp.Conn
	greeting smtp.Reply
	helo     string
	ext      smtp.Extensions
	refused  int
	syntax   int
	nonMail  int
	helos    int
	mailOpen bool
	neutral  bool // the name that we took was shown to change nothing
}

// dial opens a connection, after the limiter and the audit log allowed it.
func (d *dialogue) dial(why string, w way) (*smtp.Conn, error) {
	limit := d.p.Connections
	if limit == 0 {
		limit = 64
	}
	if d.f.Connections >= limit {
		return nil, fmt.Errorf("%w after %d connections", errEnough, limit)
	}
	now := d.p.now()
	if until, quiet := d.p.Limiter.Quiet(now); quiet { // a night's wait is not the service's
		if err := d.rest(until.Sub(now)); err != nil {
			return nil, err
		}
	}
	if err := d.p.Limiter.Wait(d.ctx, d.f.Addr.Addr()); err != nil {
		return nil, err
	}
	if err := d.auditFrom(w.source, why); err != nil {
		return nil, err
	}
	nc, err := d.p.Dialer.DialFrom(d.ctx, d.target, w.source)
	if err != nil {
		return nil, err
	}
	d.f.Connections++
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok && w.source == d.source {
		d.f.LocalAddr = a.AddrPort().Addr().Unmap().String()
	}
	limits := d.p.Limits
	limits.Transcript = max(256, maxEvidence-d.kept())
	if limits.Transcript > 12<<10 {
		limits.Transcript = 12 << 10
	}
	c := smtp.NewConn(nc, limits)
	if d.patient {
		c.Settle()
	}
	if w.header != "" {
		if err := c.Send(d.ctx, w.header); err != nil {
			d.keep(c)
			return nil, err
		}
	}
	return c, nil
}

// What a finding keeps of what a server says: transcripts, the replies of its attempts, greeting and EHLO.
const (
	maxEvidence = 40 << 10
	maxReplies  = 6 << 10
	maxHello    = 2 << 10
)

// clip keeps the start of a text, in memory of its own.
func clip(s string, n int) string { return strings.Clone(s[:min(len(s), n)]) }

// clipLines keeps the first lines, and the start of the one that no longer fits.
func clipLines(lines []string, n int) (out []string) {
	for _, l := range lines {
		l = clip(l, n)
		if out, n = append(out, l), n-len(l)-1; n <= 0 {
			break
		}
	}
	return out
}

// keepReply cuts a reply to what a finding has room for: 512 bytes, and 120 once there is little.
func (d *dialogue) keepReply(r smtp.Reply) smtp.Reply {
	// Most replies are one of a few, over and over.
	for _, k := range d.recent {
		if k.Code == r.Code && k.BareLF == r.BareLF && slices.Equal(k.Lines, r.Lines) {
			return k
		}
	}
	n := 512
	if d.replies > maxReplies {
		n = 120
	}
	r.Lines = clipLines(r.Lines, n)
	d.replies += len(r.Text())
	d.recent[d.turn] = r
	d.turn = (d.turn + 1) % len(d.recent)
	return r
}

func (d *dialogue) kept() int {
	n := 0
	for _, s := range d.f.Sessions {
		n += len(s.Transcript)
	}
	return n
}

// audit notes what is about to be sent in the current session.
func (d *dialogue) audit(vector string) error {
	from := d.source
	if d.session != nil {
		from = d.session.source
	}
	return d.auditFrom(from, vector)
}

func (d *dialogue) auditFrom(from netip.AddrPort, vector string) error {
	if d.p.Before == nil {
		return nil
	}
	if err := d.p.Before(d.target, from, vector); err != nil {
		return fmt.Errorf("%w: %w", errStopped, err)
	}
	return nil
}

// keep stores a connection's transcript and closes it, and notes whether the server said more than it was asked.
func (d *dialogue) keep(c *smtp.Conn) {
	d.store(c)
	if !d.patient && c.Unasked() > 0 {
		d.patient = true
		d.astray = append(d.astray, len(d.f.Sessions))
	}
}

func (d *dialogue) store(c *smtp.Conn) {
	c.Close()
	d.f.Sessions = append(d.f.Sessions, Session{Transcript: strings.Clone(c.Transcript().String())}) // without what it was built in
	d.f.Commands += c.Commands()
}

// hangUp ends the current session, politely where the server still listens.
func (d *dialogue) hangUp() {
	if d.session == nil {
		return
	}
	d.conn.Quit(d.ctx)
	d.keep(d.conn)
	d.session = nil
}

// cut ends the current session without a word: after a 354 no message exists then.
func (d *dialogue) cut() {
	if d.session == nil {
		return
	}
	d.keep(d.conn)
	d.session = nil
}

// finish fills what is derived from the evidence.
func (d *dialogue) finish() {
	f := &d.f
	f.Ended = d.p.now()
	if f.Greeting != "" {
		d.evidence.Greeting = strings.Split(f.Greeting, "\n")
		d.evidence.EHLO, d.evidence.Help = f.EHLO, f.Help
		for i := range f.Attempts {
			if _, r := f.Attempts[i].last(); r.Code >= 400 && len(d.evidence.Errors) < 32 && !slices.Contains(d.evidence.Errors, r.String()) {
				d.evidence.Errors = append(d.evidence.Errors, r.String())
			}
		}
		if f.SMTP() || f.Protocol == "lmtp" {
			f.Service = d.p.Recog.Merge(fingerprint.Identify(d.evidence), d.evidence)
			f.SeenAs = fingerprint.SeenAs(d.evidence)
		}
	}
	f.Names = d.hostNames()
}

// known reports whether the service told its product and version already.
func (d *dialogue) known() bool {
	s := fingerprint.Identify(fingerprint.Evidence{Greeting: strings.Split(d.f.Greeting, "\n"), EHLO: d.f.EHLO})
	return s.Product != "" && s.Version != ""
}

// hostNames are the names of the target: its own word, the certificate's, and DNS's.
func (d *dialogue) hostNames() []string {
	e := fingerprint.Evidence{EHLO: d.f.EHLO}
	if d.f.Greeting != "" {
		e.Greeting = strings.Split(d.f.Greeting, "\n")
	}
	out := fingerprint.HostNames(e)
	more := d.ptr
	if d.f.TLS != nil {
		more = append(more, d.f.TLS.Names...)
	}
	for _, n := range more {
		n = strings.TrimSuffix(strings.ToLower(n), ".")
		if hostName(n) && !slices.Contains(out, n) && len(out) < 16 {
			out = append(out, n)
		}
	}
	return out
}

// hostName keeps what came from the network out of our commands unless it is a plain host name (RFC 1123 2.1).
func hostName(s string) bool {
	if len(s) == 0 || len(s) > 253 || !strings.Contains(s, ".") || strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// tlsConfig accepts whatever the server can: an inventory notes old TLS, it does not refuse it.
func tlsConfig(name string) *tls.Config {
	var suites []uint16
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			suites = append(suites, s.ID)
		}
	}
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, CipherSuites: suites, ServerName: name}
}

// handshake starts TLS on a connection and notes what it showed.
func (d *dialogue) handshake(c *smtp.Conn, mode string) error {
	name := ""
	if len(d.names.hosts) > 0 {
		name = d.names.hosts[0]
	}
	err := c.Handshake(d.ctx, tlsConfig(name))
	if err != nil {
		if d.f.TLS == nil {
			d.f.TLS = &TLS{Mode: mode, Error: err.Error()}
		}
		return err
	}
	d.f.TLS = describeTLS(c.TLS(), mode)
	return nil
}

func describeTLS(s *tls.ConnectionState, mode string) *TLS {
	t := &TLS{Mode: mode, Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite), Legacy: s.Version < tls.VersionTLS12}
	if len(s.PeerCertificates) > 0 {
		c := s.PeerCertificates[0]
		sum := sha256.Sum256(c.Raw)
		t.Subject, t.Issuer, t.NotBefore, t.NotAfter, t.SHA256 = clip(c.Subject.String(), 256), clip(c.Issuer.String(), 256), c.NotBefore, c.NotAfter, hex.EncodeToString(sum[:])
		for _, n := range firstN(c.DNSNames, 16) {
			t.Names = append(t.Names, clip(n, 253))
		}
		if len(t.Names) == 0 && hostName(c.Subject.CommonName) {
			t.Names = []string{c.Subject.CommonName}
		}
	}
	return t
}

func itoa(n int) string { return strconv.Itoa(n) }
