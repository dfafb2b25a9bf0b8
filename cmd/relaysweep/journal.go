package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"relaysweep/discover"
	"relaysweep/probe"
	"relaysweep/report"
)

// journal keeps what listens and was not looked at yet, so that the scan can go on after any end: what was found is in the
// inventory. It is a file that only grows.
type journal struct {
	mu  sync.Mutex
	dir string
	f   *os.File
}

// entry is one line of the journal: one of its fields is set.
type entry struct {
	Opening *netip.AddrPort `json:"opening,omitempty"`
	Source  string          `json:"source,omitempty"` // of an opening: the further source that it opened to
	Pass    int             `json:"pass,omitempty"`   // of an opening: the pass that found it
	Hollow  bool            `json:"hollow,omitempty"` // of an opening: see discover.Opening
	// Doubts are ports on which silence cannot be believed, and why: what the last self-test said.
	Doubts *map[uint16]string `json:"doubts,omitempty"`
}

// past is what journal and inventory say of an earlier part of a scan.
type past struct {
	openings   []opened
	findings   []probe.Finding
	deliveries []probe.Delivery
	doubts     map[uint16]string
	mentions   map[netip.Addr][]report.Mention
}

// opened is an opening of an earlier part of a scan.
type opened struct {
	addr   netip.AddrPort
	source netip.AddrPort
	pass   int
	hollow bool
	probed bool
}

// stateDir is where scans keep their state (XDG Base Directory Specification).
func stateDir() (string, error) {
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "relaysweep"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "relaysweep"), nil
}

// newJournal stores the settings of a new scan and opens its journal.
func newJournal(base string, s *settings) (_ *journal, err error) {
	if base == "" {
		if base, err = stateDir(); err != nil {
			return nil, err
		}
	}
	dir := filepath.Join(base, s.Scan)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, hint(err, "XDG_STATE_HOME names another folder for the scan's state")
	}
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "settings.json"), b, 0o600); err != nil {
		return nil, err
	}
	return openJournal(dir)
}

func openJournal(dir string) (*journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, "journal.jsonl"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		if errors.Is(err, errLocked) {
			err = fmt.Errorf("scan %s is under way in another process: wait until it is done, or stop it", filepath.Base(dir))
		}
		return nil, err
	}
	return &journal{dir: dir, f: f}, nil
}

// resumeJournal reads the settings and journal of a scan. id is a scan's id, or "last".
func resumeJournal(id string) (*settings, *journal, *past, error) {
	base, err := stateDir()
	if err != nil {
		return nil, nil, nil, err
	}
	if id == "last" {
		if id, err = lastScan(base); err != nil {
			return nil, nil, nil, err
		}
	}
	if strings.ContainsAny(id, `/\`) {
		return nil, nil, nil, fmt.Errorf("--resume: %q is not a scan's id", id)
	}
	dir := filepath.Join(base, id)
	s, err := readSettings(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil, fmt.Errorf("--resume: no scan %q is stored in %s", id, base)
	case err != nil:
		return nil, nil, nil, fmt.Errorf("--resume: %s: %w", dir, err)
	case s.Probe:
		return nil, nil, nil, fmt.Errorf("--resume: %s was a probe: run it again", id)
	}
	j, err := openJournal(dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--resume: %w", err)
	}
	p, err := j.read()
	if err != nil {
		j.Close()
		return nil, nil, nil, err
	}
	return s, j, p, nil
}

func readSettings(dir string) (*settings, error) {
	b, err := os.ReadFile(filepath.Join(dir, "settings.json"))
	if err != nil {
		return nil, err
	}
	s := new(settings)
	return s, json.Unmarshal(b, s)
}

// lastScan is the id of the scan that was begun last. One that died before its settings were stored had sent nothing.
func lastScan(base string) (string, error) {
	dirs, _ := os.ReadDir(base)
	var last *settings
	for _, d := range dirs {
		if s, err := readSettings(filepath.Join(base, d.Name())); err == nil && !s.Probe && s.Scan == d.Name() && (last == nil || s.Started.After(last.Started)) {
			last = s
		}
	}
	if last == nil {
		return "", fmt.Errorf("--resume: no scan is stored in %s", base)
	}
	return last.Scan, nil
}

// read replays the journal. A last line that was cut off by a crash is cut away.
func (j *journal) read() (*past, error) {
	p := new(past)
	index := make(map[netip.AddrPort]int) // of openings, plus one
	r := bufio.NewReaderSize(j.f, 1<<16)
	var good int64
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", j.f.Name(), n, err)
		}
		good += int64(len(line))
		switch {
		case e.Opening != nil:
			if index[*e.Opening] > 0 {
				continue
			}
			o := opened{addr: *e.Opening, pass: e.Pass, hollow: e.Hollow}
			if e.Source != "" {
				if o.source, err = discover.ParseSource(e.Source); err != nil {
					return nil, fmt.Errorf("%s:%d: %w", j.f.Name(), n, err)
				}
			}
			p.openings = append(p.openings, o)
			index[o.addr] = len(p.openings)
		case e.Doubts != nil:
			p.doubts = *e.Doubts
		}
	}
	return p, j.f.Truncate(good)
}

// add writes one line. An opening outlives this process at once; if the machine goes down, its coverage begins anew and
// finds it again. All else is safe on disk when it returns.
func (j *journal) add(e entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("the scan's state could not be stored: %w", err)
	}
	if e.Opening != nil {
		return nil
	}
	return j.f.Sync()
}

// Close closes the file.
func (j *journal) Close() error { return j.f.Close() }

// audit is the append-only log of every probe: who was touched, when, from where and how.
type audit struct {
	mu      sync.Mutex
	f       *os.File
	vantage string
	scan    string
	shared  []byte // of all lines
	buf     []byte
	err     error
}

// auditLine is one probe.
type auditLine struct {
	Time     time.Time `json:"time"`
	Scan     string    `json:"scan"`
	Vantage  string    `json:"vantage"`
	Endpoint string    `json:"endpoint"`
	Source   string    `json:"source,omitempty"` // where it left from, if not from the vantage's own source
	Vector   string    `json:"vector"`           // "handshake" while discovering, "identify", "connect", "control", or a vector
}

func openAudit(name string, s *settings) (*audit, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, hint(err, "--audit-log names another file")
	}
	a := &audit{f: f, vantage: s.Vantage, scan: s.Scan}
	return a, a.prepare()
}

// write notes a probe before it is sent, whatever becomes of us then. Once writing has failed, nothing more may be sent.
func (a *audit) write(t discover.Target, from netip.AddrPort, vector string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	return a.put(a.handshake(time.Now().UTC(), t, from, vector))
}

// prepare makes the part that all lines share.
func (a *audit) prepare() error {
	b, err := json.Marshal(struct {
		Scan    string `json:"scan"`
		Vantage string `json:"vantage"`
	}{a.scan, a.vantage})
	a.shared = bytes.Trim(b, "{}")
	return err
}

// handshake writes an auditLine as encoding/json does, at a fraction of its cost: there is one for each handshake.
func (a *audit) handshake(now time.Time, t discover.Target, from netip.AddrPort, vector string) []byte {
	b := append(a.buf[:0], `{"time":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `",`...)
	b = append(b, a.shared...)
	b = append(b, `,"endpoint":"`...)
	b = t.AddrPort().AppendTo(b)
	if from != (netip.AddrPort{}) {
		b = append(b, `","source":"`...)
		b = append(b, discover.SourceText(from)...)
	}
	b = append(b, `","vector":`...)
	quoted, _ := json.Marshal(vector) // a string always can
	b = append(b, quoted...)
	a.buf = append(b, "}\n"...)
	return a.buf
}

// auditRun is a run of packets: those to the targets at the positions From to To-1 of the plan, whose order the seed
// decides. relaysweep discover --dry-run prints them in that order.
type auditRun struct {
	Time    time.Time `json:"time"`
	Scan    string    `json:"scan"`
	Vantage string    `json:"vantage"`
	Vector  string    `json:"vector"` // "syn"
	Seed    uint64    `json:"seed"`
	Pass    int       `json:"pass"` // from the second on only what was silent
	From    uint64    `json:"from"`
	To      uint64    `json:"to"`
}

// positions notes a run of packets before it is sent.
func (a *audit) positions(seed uint64, pass int, from, to uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	return a.line(auditRun{time.Now().UTC(), a.scan, a.vantage, "syn", seed, pass, from, to})
}

// line writes one line. It is called with the lock held.
func (a *audit) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.put(append(b, '\n'))
}

func (a *audit) put(line []byte) error {
	if _, err := a.f.Write(line); err != nil {
		a.err = fmt.Errorf("the audit log cannot be written: %w", err)
	}
	return a.err
}

// failed is why nothing more may be sent, if so.
func (a *audit) failed() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Close closes the file.
func (a *audit) Close() error { return a.f.Close() }
