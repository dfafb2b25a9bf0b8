package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxConnections = 256    // of one server, at one time
	maxLog         = 10_000 // entries of each list in a Score

	// A client over "= max connections" waits so long for a place: it may
	// have seen the end of its last connection before we did.
	placeWait = 100 * time.Millisecond
)

// A Server plays one Dialog. Set the fields before Serve, then leave them.
type Server struct {
	Dialog   *Dialog
	Relay    string      // host:port of the smart host of "= relay"
	Hostname string      // if empty, the dialog's, else "fake.example"
	TLS      *tls.Config // if nil, a self-signed certificate, made on first use

	tlsOnce sync.Once
	tlsErr  error
	tls     *tls.Config

	wg sync.WaitGroup

	mu        sync.Mutex
	done      chan struct{} // closed by Close
	closed    bool
	listeners []net.Listener
	conns     map[net.Conn]struct{}
	places    map[string]int // open connections by client address
	changed   chan struct{}  // closed, and made anew, when a connection ends
	logged    int            // lines in score.Commands and PerConnection
	score     Score
	answers   [][]Answer // by connection
}

// A Score is what clients did to a Server.
type Score struct {
	Connections   int
	Commands      []string   // client lines without their ending, verbatim, over all connections
	PerConnection [][]string // the same by connection, in the order of arrival
	ContentBytes  int64      // received after a 354, without the final dot
	Messages      int        // completed with the final dot
	Relayed       int        // taken by the smart host
	RelayErrors   []string   // what went wrong on the way there
	Early         int        // the client spoke when a reply of ours was due and not yet complete
	Errors        int        // replies 4yz and 5yz that we sent
	Mismatches    []string   // lines without a block, and other deviations from the dialog
	TLS           int        // handshakes completed
	Dropped       int        // connections that we ended because a budget was spent
}

// An Answer is a line of the client and the last line of our first reply to it. The greeting answers an empty line.
type Answer struct{ Line, Reply string }

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start serves d on a free loopback port until the test ends.
func Start(t TB, d *Dialog) *Server {
	t.Helper()
	s := &Server{Dialog: d}
	s.Start(t)
	return s
}

// Start serves on a free loopback port until the test ends.
func (s *Server) Start(t TB) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	if err := s.begin(l); err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	go s.serve(l)
}

// Serve plays the dialog to every client of l until Close, then returns nil.
// It may be called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if err := s.begin(l); err != nil {
		l.Close()
		return err
	}
	return s.serve(l)
}

// begin makes l one of ours; serve must follow.
func (s *Server) begin(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Dialog == nil {
		return errors.New("server has no dialog")
	}
	if s.closed {
		return net.ErrClosed
	}
	s.init()
	s.listeners = append(s.listeners, l)
	s.wg.Add(1)
	return nil
}

// init makes the zero Server ready, under mu.
func (s *Server) init() {
	if s.done == nil {
		s.done, s.changed = make(chan struct{}), make(chan struct{})
		s.conns, s.places = make(map[net.Conn]struct{}), make(map[string]int)
	}
}

func (s *Server) serve(l net.Listener) error {
	defer s.wg.Done()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.closing() {
				return nil
			}
			return err
		}
		if c := s.accept(conn); c != nil {
			s.wg.Go(c.run)
		} else {
			conn.Close()
			s.ended(func() {})
		}
	}
}

// accept counts the connection. It returns nil when there are too many.
func (s *Server) accept(conn net.Conn) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.score.Connections++
	if len(s.score.PerConnection) < maxLog {
		s.score.PerConnection = append(s.score.PerConnection, nil)
		s.answers = append(s.answers, nil)
	}
	if len(s.conns) >= maxConnections {
		s.score.Dropped++
		return nil
	}
	s.conns[conn] = struct{}{}
	return newSession(s, conn, s.score.Connections-1)
}

// Close ends listeners and connections and waits until nothing runs.
func (s *Server) Close() error {
	s.mu.Lock()
	var errs []error
	if !s.closed {
		s.closed = true
		s.init()
		close(s.done)
		for _, l := range s.listeners {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
		for conn := range s.conns {
			conn.Close()
		}
	}
	s.mu.Unlock()
	s.wg.Wait()
	return errors.Join(errs...)
}

func (s *Server) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Addr is the address of the first listener, the zero AddrPort before Serve.
func (s *Server) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) == 0 {
		return netip.AddrPort{}
	}
	if a, ok := s.listeners[0].Addr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Score returns a copy of the score so far. What a client did is counted
// before it is answered.
func (s *Server) Score() Score {
	s.mu.Lock()
	defer s.mu.Unlock()
	score := s.score
	score.Commands = slices.Clone(score.Commands)
	score.Mismatches = slices.Clone(score.Mismatches)
	score.RelayErrors = slices.Clone(score.RelayErrors)
	score.PerConnection = slices.Clone(score.PerConnection)
	for i, lines := range score.PerConnection {
		score.PerConnection[i] = slices.Clone(lines)
	}
	return score
}

// Answers returns what the lines of each connection got so far.
func (s *Server) Answers() [][]Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.answers)
	for i, answers := range all {
		all[i] = slices.Clone(answers)
	}
	return all
}

func (s *Server) count(f func(*Score)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.score)
}

func (s *Server) logLine(connection int, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logged++; s.logged > maxLog {
		return
	}
	s.score.Commands = append(s.score.Commands, line)
	if connection < len(s.score.PerConnection) {
		s.score.PerConnection[connection] = append(s.score.PerConnection[connection], line)
	}
}

func (s *Server) logAnswer(connection int, a Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if connection < len(s.answers) && len(s.answers[connection]) < maxLog {
		s.answers[connection] = append(s.answers[connection], a)
	}
}

func note(list *[]string, entry string) {
	if len(*list) < maxLog {
		*list = append(*list, entry)
	}
}

// Wait returns when n connections have come and all are gone, so that their
// score is complete, or when the server is closed.
func (s *Server) Wait(n int) {
	for {
		s.mu.Lock()
		s.init()
		complete, changed := s.score.Connections >= n && len(s.conns) == 0, s.changed
		s.mu.Unlock()
		if complete {
			return
		}
		select {
		case <-changed:
		case <-s.done:
			return
		}
	}
}

// takePlace counts a connection of the client, if it has fewer than limit.
func (s *Server) takePlace(ip string, limit int) bool {
	enough := time.NewTimer(placeWait)
	defer enough.Stop()
	for {
		s.mu.Lock()
		free, changed := limit == 0 || s.places[ip] < limit, s.changed
		if free {
			s.places[ip]++
		}
		s.mu.Unlock()
		if free {
			return true
		}
		select {
		case <-changed:
		case <-enough.C:
			return false
		case <-s.done:
			return false
		}
	}
}

func (s *Server) freePlace(ip string) {
	s.ended(func() {
		if s.places[ip]--; s.places[ip] == 0 {
			delete(s.places, ip)
		}
	})
}

func (s *Server) forget(conn net.Conn) {
	s.ended(func() { delete(s.conns, conn) })
}

// ended tells all who wait that f is done.
func (s *Server) ended(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) hostname() string {
	switch {
	case s.Hostname != "":
		return s.Hostname
	case s.Dialog.hostname != "":
		return s.Dialog.hostname
	}
	return "fake.example"
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	s.tlsOnce.Do(func() {
		s.tls = s.TLS
		if s.tls == nil {
			s.tls, s.tlsErr = selfSigned(s.hostname())
		}
	})
	return s.tls, s.tlsErr
}

func selfSigned(hostname string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: hostname},
		DNSNames:     []string{hostname},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
