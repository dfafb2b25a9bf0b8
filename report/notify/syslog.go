package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"relaysweep/report"
)

// Format is how a line of syslog tells.
type Format string

// The formats. CEF is a message of RFC 5424.
const (
	RFC5424 Format = "rfc5424"
	CEF     Format = "cef"
)

// ParseFormat reads a format's name. Without one it is RFC5424.
func ParseFormat(name string) (Format, error) {
	if name == "" {
		return RFC5424, nil
	}
	if f := Format(name); f == RFC5424 || f == CEF {
		return f, nil
	}
	return "", fmt.Errorf("%q is no format: it is rfc5424 or cef", name)
}

// Syslog sends a line for the scan, for each change, and for each finding at or above a severity.
//
// UDP loses what a network or a busy receiver drops, and nobody is told; TCP and TLS do not, up to the receiver's buffer.
// A receiver on a unix socket takes datagrams.
type Syslog struct {
	Address string // udp://, tcp:// (octet counting, RFC 6587) or tls:// (RFC 5425) with HOST:PORT, or unix:///dev/log
	Format  Format // if empty, RFC5424
	Least   report.Severity

	Host    string         // our own name; if empty, the system's
	RootCAs *x509.CertPool // if nil, the system's

	patience time.Duration // with a receiver that may refuse us yet; 0: 2 seconds
}

// ParseAddress reads an address of a receiver: the network as package net has it, or tls, and the address there.
func ParseAddress(text string) (network, address string, err error) {
	u, err := url.Parse(text)
	bad := fmt.Errorf("%q is no address of a log: write it like udp://192.0.2.1:514, tcp://loghost.example:601, tls://loghost.example:6514 or unix:///dev/log", text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", "", bad
	}
	switch u.Scheme {
	case "unix":
		if u.Host == "" && filepath.IsAbs(u.Path) {
			return "unixgram", u.Path, nil
		}
	case "udp", "tcp", "tls":
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && n > 0 && u.Hostname() != "" && u.Path == "" {
			return u.Scheme, u.Host, nil
		}
	}
	return "", "", bad
}

// The time that a receiver gets to take the connection, and all lines.
const (
	dialTimeout = 10 * time.Second
	sendTimeout = time.Minute
)

// Send tells of a scan. changes are nil where none are known. Nothing is sent twice: who reads a log counts its lines.
func (s *Syslog) Send(ctx context.Context, r *report.Report, changes *report.Changes) (err error) {
	network, address, err := ParseAddress(s.Address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	c, err := s.dial(ctx, network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	host := s.Host
	if host == "" {
		host, _ = os.Hostname()
	}
	// A datagram that comes faster than it is read is lost, so UDP goes at a pace.
	var pace *time.Ticker
	if network == "udp" {
		pace = time.NewTicker(time.Millisecond)
		defer pace.Stop()
	}
	for n, e := range events(r, changes, s.Least) {
		if pace != nil && n > 0 {
			select {
			case <-pace.C:
			case <-ctx.Done():
				return fmt.Errorf("line %d: %w", n+1, ctx.Err())
			}
		}
		l := line(e, host, s.Format, r.Scan.Version)
		if network == "tcp" || network == "tls" {
			l = strconv.Itoa(len(l)) + " " + l
		}
		if _, err := io.WriteString(c, l); err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	return finish(c, cmp.Or(s.patience, 2*time.Second))
}

func (s *Syslog) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTimeout}
	if network == "tls" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return (&tls.Dialer{NetDialer: d, Config: &tls.Config{ServerName: host, RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
	}
	return d.DialContext(ctx, network, address)
}

// finish ends a stream and waits a moment for the receiver to end it too. Nobody acknowledges syslog; but whoever
// refuses us, such as for a missing certificate, does it now.
func finish(c net.Conn, patience time.Duration) error {
	half, ok := c.(interface{ CloseWrite() error })
	if _, datagram := c.(*net.UnixConn); !ok || datagram {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.Read(make([]byte, 1))
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// The bounds of a line. Every receiver takes 2,048 bytes (RFC 5424, Section 6.1), and a datagram that is larger may be cut
// or lost.
const (
	maxLine  = 2048
	maxValue = 256 // bytes of a value, before escapes
	forText  = 512 // bytes that are kept for the message
)

// Syslog's own severities (RFC 5424, Section 6.2.1) by ours, and the facility: system daemons.
var syslogSeverity = [...]int{report.Info: 6, report.Low: 5, report.Medium: 4, report.High: 3, report.Critical: 2}

const facility = 3

// line makes a line: one, whatever the event holds. The structured data's name is under an enterprise number that is
// reserved for documentation (RFC 5612), as we have none of our own.
func line(e event, host string, f Format, version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s relaysweep %d %s ", facility*8+syslogSeverity[e.severity], e.time.UTC().Format("2006-01-02T15:04:05.000Z"), header(host, 255), os.Getpid(), header(e.kind, 32))
	if f == CEF {
		b.WriteString("- ")
		b.WriteString(cef(e, version, maxLine-b.Len()))
		return b.String()
	}
	b.WriteString("[relaysweep@32473")
	for _, p := range append([]field{{name: "severity", value: e.severity.String()}}, e.fields...) {
		value := sdEscape.Replace(safe(p.value, maxValue, report.Escape))
		if p := ` ` + p.name + `="` + value + `"`; value != "" && b.Len()+len(p) < maxLine-forText {
			b.WriteString(p)
		}
	}
	b.WriteString("] ")
	// Text that is not ASCII would have to begin with a byte order mark, which receivers tend to keep.
	b.WriteString(safe(e.message, maxLine-b.Len(), report.ASCII))
	return b.String()
}

// sdEscape escapes what may not stand in a value (RFC 5424, Section 6.3.3).
var sdEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// header makes a field of the header: printable ASCII without blanks, or a dash.
func header(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, s)
	if s = s[:min(len(s), n)]; s == "" {
		return "-"
	}
	return s
}
