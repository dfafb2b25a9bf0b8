package canary

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"relaysweep/probe"
)

// Mailbox is an IMAP mailbox that canaries come home to, where no sink can run: the mail of the canary domain is
// delivered into it. It is polled. Only what may be a canary is read, and nothing is changed unless Delete is set.
// Fields are set before Check, which may be called again and again, from one goroutine.
type Mailbox struct {
	Canary         probe.Canary
	Server         string         // host:port
	Security       Security       // of the connection
	Roots          *x509.CertPool // who may have signed the server's certificate; the system's if nil
	User, Password string
	Name           string                     // of the mailbox; INBOX if empty
	Age            time.Duration              // how old a message may be; a week if 0
	Timeout        time.Duration              // for one Check; 5 minutes if 0
	Delete         bool                       // messages that proved a canary, once it is stored
	Store          func(probe.Delivery) error // called for each delivery; on an error the message is read again by the next Check
	Now            func() time.Time           // time.Now if nil

	validity uint32            // of the UIDs that were seen
	seen     map[imap.UID]bool // messages that need not be read again
}

// Security is how a connection to a mailbox is protected. The zero value is the safest.
type Security int

const (
	TLS      Security = iota // from the first byte (RFC 8314)
	STARTTLS                 // before anything is told
	Plain                    // not at all: on loopback alone
)

func (s Security) String() string { return [...]string{"tls", "starttls", "none"}[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Security) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Security) UnmarshalText(b []byte) error {
	for _, *s = range []Security{TLS, STARTTLS, Plain} {
		if s.String() == string(b) {
			return nil
		}
	}
	return fmt.Errorf("%q is not tls, starttls or none", b)
}

// Checked is what one look into a mailbox did.
type Checked struct {
	Messages   int // that may be canaries, and were read
	Deliveries int // that they proved
	Deleted    int // messages
	Left       int // messages that were too many to be read at once
}

// ErrLogin says that the server did not take user and password. To try again would only lock the account.
var ErrLogin = errors.New("the server does not take the user and its password")

// notStored is an error of Store: no fault of the mailbox.
type notStored struct{ error }

// Bounds on what a server may send: bytes for each step, and messages.
const (
	maxMessages = 10_000
	batch       = 50
	maxTalk     = 1 << 20 // of what is no message, such as the answer to a search
)

// Check looks into the mailbox once, and calls Store for what came home. A message that was stored is not read again.
func (m *Mailbox) Check(ctx context.Context) (Checked, error) {
	limit := cmp.Or(m.Timeout, 5*time.Minute)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	did, err := m.check(ctx)
	ours, isOurs := errors.AsType[notStored](err)
	switch {
	case err == nil:
		return did, nil
	case isOurs:
		return did, ours.error
	case context.Cause(ctx) == context.DeadlineExceeded:
		err = fmt.Errorf("not done within %s", limit)
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return did, fmt.Errorf("mailbox %s: %w", m.Server, m.clean(err))
}

// clean makes one line of an error, which may hold what the server said: that may be anything, the password too.
func (m *Mailbox) clean(err error) error {
	s := err.Error()
	if m.Password != "" {
		s = strings.ReplaceAll(s, m.Password, "...")
	}
	s, _, _ = strings.Cut(s, "\n")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text(s))
	if errors.Is(err, ErrLogin) {
		return ErrLogin // and not a word of the server's
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errors.New(s)
}

func (m *Mailbox) check(ctx context.Context) (did Checked, err error) {
	conn, err := m.dial(ctx)
	if err != nil {
		return did, err
	}
	defer conn.Close()
	hangUp := context.AfterFunc(ctx, func() { conn.raw.Close() })
	defer hangUp()
	conn.allow(maxTalk) // the client reads at once
	c := imapclient.New(conn, nil)
	defer c.Close()
	s := &imapSession{m, conn, c}
	defer func() {
		if why := conn.refused.Load(); err != nil && why != nil {
			err = *why
		}
	}()
	if err := s.open(); err != nil {
		return did, err
	}
	uids, left, err := s.find()
	if err != nil {
		return did, fmt.Errorf("search: %w", err)
	}
	did.Left = left
	var proven imap.UIDSet
	for some := range slices.Chunk(uids, batch) {
		messages, err := s.fetch(some)
		if err != nil {
			return did, fmt.Errorf("fetch: %w", err)
		}
		for _, msg := range messages {
			ds := deliveries(m.Canary, msg.head, msg.body, msg.internal)
			for _, d := range ds {
				if err := m.Store(d); err != nil {
					return did, notStored{err}
				}
			}
			if did.Messages++; len(ds) > 0 {
				did.Deliveries += len(ds)
				proven.AddNum(msg.uid)
			}
			m.seen[msg.uid] = true
		}
		if m.Delete && len(proven) > 0 {
			n, err := s.delete(proven)
			did.Deleted += n
			if err != nil {
				return did, fmt.Errorf("delete: %w", err)
			}
			proven = nil
		}
	}
	conn.allow(maxTalk)
	c.Logout().Wait() // it is done in any case
	return did, nil
}

// imapSession is one connection to a mailbox. It is lock-step: a command, its answer, and what that may hold.
type imapSession struct {
	m    *Mailbox
	conn *bounded
	c    *imapclient.Client
}

// open logs in and opens the mailbox, to read it only where nothing is to be deleted.
func (s *imapSession) open() error {
	if err := s.c.WaitGreeting(); err != nil {
		return err
	}
	m := s.m
	if s.c.State() == imap.ConnStateNotAuthenticated {
		if s.c.Caps().Has(imap.CapLoginDisabled) {
			return errors.New("the server takes no LOGIN here")
		}
		// The library could wait for ever for a server that answers a literal wrongly.
		if !quotable(m.User) || !quotable(m.Password) {
			return errors.New("user and password must be printable ASCII")
		}
		if err := s.c.Login(m.User, m.Password).Wait(); err != nil {
			if e, ok := errors.AsType[*imap.Error](err); ok && slices.Contains(refusals, imap.ResponseCode(strings.ToUpper(string(e.Code)))) {
				return ErrLogin
			}
			return err
		}
	}
	s.conn.allow(maxTalk)
	box, err := s.c.Select(cmp.Or(m.Name, "INBOX"), &imap.SelectOptions{ReadOnly: !m.Delete}).Wait()
	if err != nil {
		return fmt.Errorf("mailbox %s: %w", cmp.Or(m.Name, "INBOX"), err)
	}
	if m.seen == nil || m.validity != box.UIDValidity {
		m.seen, m.validity = make(map[imap.UID]bool), box.UIDValidity
	}
	if m.Delete && !s.c.Caps().Has(imap.CapUIDPlus) {
		return errors.New("the server cannot delete single messages (UIDPLUS)")
	}
	return nil
}

// refusals are the codes with which a server says that it does not take user and password (RFC 5530, Section 3), or says
// nothing. Others, such as UNAVAILABLE, INUSE and LIMIT, may be gone when it is asked again.
var refusals = []imap.ResponseCode{"", imap.ResponseCodeAuthenticationFailed, imap.ResponseCodeAuthorizationFailed, imap.ResponseCodeExpired, imap.ResponseCodePrivacyRequired}

func quotable(s string) bool {
	return s != "" && len(s) <= 1<<10 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// find names the messages that may be canaries, or bounces of them, and were not read yet: the newest, and how many
// older ones are left.
func (s *imapSession) find() (uids []imap.UID, left int, err error) {
	now := time.Now
	if s.m.Now != nil {
		now = s.m.Now
	}
	with := func(name, value string) imap.SearchCriteria {
		return imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: name, Value: value}}}
	}
	bounces := imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{with("To", "rs-"), with("Content-Type", "multipart/report")}}}
	s.conn.allow(maxTalk)
	found, err := s.c.UIDSearch(&imap.SearchCriteria{
		// Servers compare the day alone, and in their own time zone.
		Since: now().UTC().Add(-cmp.Or(s.m.Age, 7*24*time.Hour)).AddDate(0, 0, -1).Truncate(24 * time.Hour),
		Or:    [][2]imap.SearchCriteria{{with("X-Relaysweep-Scan", ""), bounces}},
	}, nil).Wait()
	if err != nil {
		return nil, 0, err
	}
	set, ok := found.All.(imap.UIDSet)
	if found.All != nil && !ok || set.Dynamic() {
		return nil, 0, errors.New("the server does not name messages by UID")
	}
	// A server may name four thousand million messages in ten bytes.
	for _, r := range slices.Backward(set) {
		for uid := r.Stop; uid >= r.Start && uid > 0; uid-- {
			if s.m.seen[uid] {
				continue
			}
			if len(uids) == maxMessages {
				left += int(uid-r.Start) + 1
				break
			}
			uids = append(uids, uid)
		}
	}
	slices.Reverse(uids)
	return uids, left, nil
}

// message is what is read of one.
type message struct {
	uid        imap.UID
	internal   time.Time
	head, body []byte
}

// fetch reads the headers of some messages, and of reports that do not say in their header what they are of, the
// beginning.
func (s *imapSession) fetch(uids []imap.UID) ([]message, error) {
	got, err := s.read(uids, imap.PartSpecifierHeader, maxHeaderSize)
	if err != nil {
		return nil, err
	}
	for i := range got {
		got[i].head, got[i].body = got[i].body, nil
		fields := header(got[i].head)
		if !isReport(fields) || len(proofs(s.m.Canary, fields)) > 0 {
			continue
		}
		report, err := s.read([]imap.UID{got[i].uid}, imap.PartSpecifierText, maxReportSize)
		if err != nil {
			return nil, err
		}
		if len(report) == 1 {
			got[i].body = report[0].body
		}
	}
	return got, nil
}

// read reads a part of each of some messages, without a mark that it was read.
func (s *imapSession) read(uids []imap.UID, part imap.PartSpecifier, most int64) (out []message, err error) {
	s.conn.allow(maxTalk + int64(len(uids))*most)
	cmd := s.c.Fetch(imap.UIDSetNum(uids...), &imap.FetchOptions{UID: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{
		{Specifier: part, Peek: true, Partial: &imap.SectionPartial{Size: most}},
	}})
	for {
		data := cmd.Next()
		if data == nil {
			return out, cmd.Close()
		}
		var msg message
		for {
			item := data.Next()
			if item == nil {
				break
			}
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				msg.uid = item.UID
			case imapclient.FetchItemDataInternalDate:
				msg.internal = item.Time
			case imapclient.FetchItemDataBodySection:
				if item.Literal == nil || item.Section.Specifier != part {
					continue
				}
				var b bytes.Buffer
				if _, err := io.Copy(&b, io.LimitReader(item.Literal, most)); err != nil {
					return nil, err // the connection is broken; to close cmd would read from it beside the library
				}
				msg.body = b.Bytes()
			}
		}
		if slices.Contains(uids, msg.uid) && !slices.ContainsFunc(out, func(o message) bool { return o.uid == msg.uid }) {
			out = append(out, msg)
		}
	}
}

// delete takes messages out of the mailbox, and no other that somebody marked.
func (s *imapSession) delete(uids imap.UIDSet) (int, error) {
	s.conn.allow(maxTalk)
	if err := s.c.Store(uids, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		return 0, err
	}
	if err := s.c.UIDExpunge(uids).Close(); err != nil {
		return 0, err
	}
	list, _ := uids.Nums()
	return len(list), nil
}

// bounded is a connection on which the server may send so many bytes and no more until the next command, and so many
// brackets in one another: whatever they are, they are not held in memory first.
type bounded struct {
	net.Conn          // TLS, where there is any
	raw      net.Conn // below it
	first    io.Reader
	left     atomic.Int64
	brackets brackets
	refused  atomic.Pointer[error] // why no more of it is read
}

var errTooMuch = errors.New("the server sends more than was asked for")

func (c *bounded) allow(n int64) { c.left.Store(n) }

func (c *bounded) Read(b []byte) (int, error) {
	if why := c.refused.Load(); why != nil { // the library asks again
		return 0, *why
	}
	left := c.left.Load()
	if left <= 0 {
		return 0, c.refuse(errTooMuch)
	}
	r := io.Reader(c.Conn)
	if c.first != nil {
		r = io.MultiReader(c.first, c.Conn)
	}
	n, err := r.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	if err := c.brackets.follow(b[:n]); err != nil {
		return 0, c.refuse(err)
	}
	return n, err
}

func (c *bounded) refuse(err error) error {
	c.refused.Store(&err)
	return err
}

// dial connects, and protects the connection.
func (m *Mailbox) dial(ctx context.Context) (*bounded, error) {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return nil, err
	}
	c := &bounded{Conn: raw, raw: raw}
	if m.Security == Plain {
		if a, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err != nil || !a.Addr().IsLoopback() {
			raw.Close()
			return nil, errors.New("without TLS a mailbox is read on loopback alone")
		}
		return c, nil
	}
	hangUp := context.AfterFunc(ctx, func() { raw.Close() })
	defer hangUp()
	if m.Security == STARTTLS {
		if err := startTLS(raw); err != nil {
			raw.Close()
			return nil, err
		}
		// The client wants a greeting, and a server has none to say now.
		c.first = strings.NewReader("* OK\r\n")
	}
	secure := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: m.Roots, NextProtos: []string{"imap"}})
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	c.Conn = secure
	return c, nil
}

// startTLS asks for TLS (RFC 9051, Section 6.2.1). It takes one byte after the other: what a server, or someone in its
// place, says between its answer and TLS is not believed, and breaks the handshake. The client of the library would wait
// for ever for one that breaks off in the wrong place.
func startTLS(conn net.Conn) error {
	r := bufio.NewReaderSize(oneByte{conn}, 16)
	line := func() (string, error) {
		var b []byte
		for len(b) < 8<<10 {
			c, err := r.ReadByte()
			if err != nil {
				return "", err
			}
			if b = append(b, c); c == '\n' {
				return strings.ToUpper(strings.TrimRight(string(b), "\r\n")), nil
			}
		}
		return "", errTooMuch
	}
	greeting, err := line()
	if err != nil {
		return fmt.Errorf("greeting: %w", err)
	}
	if !strings.HasPrefix(greeting, "* OK") {
		return errors.New("the server greets with no OK")
	}
	if _, err := io.WriteString(conn, "S STARTTLS\r\n"); err != nil {
		return err
	}
	for range 100 {
		answer, err := line()
		switch {
		case err != nil:
			return fmt.Errorf("STARTTLS: %w", err)
		case strings.HasPrefix(answer, "S OK"):
			return nil
		case !strings.HasPrefix(answer, "* "):
			return errors.New("the server has no STARTTLS")
		}
	}
	return errTooMuch
}

// oneByte reads no further than it was asked to.
type oneByte struct{ io.Reader }

func (r oneByte) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(len(b), 1)]) }
