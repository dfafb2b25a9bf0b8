package main

import (
	"bufio"
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
)

// journal keeps what a scan learnt, so that nothing found is lost and the scan can go on after any end. It is a file
// that only grows; an opening and a finding are on disk before the next is begun.
type journal struct {
	mu  sync.Mutex
	dir string
	f   *os.File
}

// entry is one line of the journal: one of its fields is set.
type entry struct {
	Opening  *netip.AddrPort `json:"opening,omitempty"`
	Finding  *probe.Finding  `json:"finding,omitempty"`
	Delivery *probe.Delivery `json:"delivery,omitempty"`
	Progress *progress       `json:"progress,omitempty"`
}

// progress says that all positions below Position have an answer, and what those answers add up to.
type progress struct {
	Position uint64     `json:"position"`
	Counts   [][]uint64 `json:"counts"`
	Sent     uint64     `json:"sent"` // handshakes, those beyond Position too
}

// past is what a journal says of an earlier part of a scan.
type past struct {
	openings   []netip.AddrPort // without a finding
	findings   []probe.Finding
	deliveries []probe.Delivery
	progress   progress
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
		return nil, nil, nil, err
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
	open := make(map[netip.AddrPort]bool)
	var order []netip.AddrPort
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
			if !open[*e.Opening] {
				order = append(order, *e.Opening)
			}
			open[*e.Opening] = true
		case e.Finding != nil:
			open[e.Finding.Addr] = false
			p.findings = append(p.findings, *e.Finding)
		case e.Delivery != nil:
			p.deliveries = append(p.deliveries, *e.Delivery)
		case e.Progress != nil:
			p.progress = *e.Progress
		}
	}
	for _, a := range order {
		if open[a] {
			p.openings = append(p.openings, a)
		}
	}
	return p, j.f.Truncate(good)
}

// add writes one line. Findings, openings and deliveries are safe on disk when it returns.
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
	if e.Progress != nil {
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
	err     error
}

// auditLine is one probe.
type auditLine struct {
	Time     time.Time `json:"time"`
	Scan     string    `json:"scan"`
	Vantage  string    `json:"vantage"`
	Endpoint string    `json:"endpoint"`
	Vector   string    `json:"vector"` // "handshake" while discovering, "identify", "connect", "control", or a vector
}

func openAudit(name string, s *settings) (*audit, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, hint(err, "--audit-log names another file")
	}
	return &audit{f: f, vantage: s.Vantage, scan: s.Scan}, nil
}

// write notes a probe before it is sent, whatever becomes of us then. Once writing has failed, nothing more may be sent.
func (a *audit) write(t discover.Target, vector string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return a.err
	}
	b, err := json.Marshal(auditLine{time.Now().UTC(), a.scan, a.vantage, t.String(), vector})
	if err == nil {
		_, err = a.f.Write(append(b, '\n'))
	}
	if err != nil {
		a.err = fmt.Errorf("the audit log cannot be written: %w", err)
	}
	return a.err
}

// Close closes the file.
func (a *audit) Close() error { return a.f.Close() }

// ledger turns results that come in any order into progress without holes.
type ledger struct {
	cov     *discover.Coverage // of what is below next
	next    uint64
	waiting map[uint64]discover.Result
}

func newLedger(cov *discover.Coverage, from uint64) *ledger {
	return &ledger{cov: cov, next: from, waiting: make(map[uint64]discover.Result)}
}

// add books a result. What was not attempted leaves a hole, at which progress stops.
func (l *ledger) add(r discover.Result) {
	if r.State == discover.NotAttempted {
		return
	}
	l.waiting[r.Position] = r
	for {
		r, ok := l.waiting[l.next]
		if !ok {
			return
		}
		delete(l.waiting, l.next)
		l.cov.Add(r.Target.AddrPort(), r.State)
		l.next++
	}
}

func (l *ledger) progress(sent uint64) *progress { return &progress{l.next, l.cov.Counts(), sent} }
