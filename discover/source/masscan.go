package source

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxRecord bounds one host of a file.
const maxRecord = 1 << 20

// readMasscan reads masscan's results: its JSON (-oJ), its list (-oL), or its XML (-oX).
func readMasscan(r io.Reader, by string, c *collector) error {
	in := bufio.NewReader(r)
	first, err := firstByte(in)
	switch {
	case errors.Is(err, io.EOF):
		return nil // of a scan that found nothing
	case err != nil:
		return err
	case first == '<':
		return readNmap(in, by, c)
	case first == '[' || first == '{':
		return readMasscanJSON(in, by, c)
	}
	return readMasscanList(in, by, c)
}

// firstByte skips a byte order mark and white space, and looks at what follows.
func firstByte(in *bufio.Reader) (byte, error) {
	if mark, _ := in.Peek(3); string(mark) == "\ufeff" {
		in.Discard(3)
	}
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if !strings.ContainsRune(" \t\r\n", rune(b)) {
			return b, in.UnreadByte()
		}
	}
}

// readMasscanJSON reads an array of hosts, one object after the other. Versions differ in what stands between them: a
// comma too many, no closing bracket, or a last object that is no JSON. Scans that are cut off end in the middle.
func readMasscanJSON(in *bufio.Reader, by string, c *collector) error {
	for n := 1; ; n++ {
		object, err := nextObject(in)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return c.leave("the rest", by, "the file ends in the middle: the scan was cut off")
		case err != nil:
			return fmt.Errorf("record %d: %w", n, err)
		}
		if strings.ReplaceAll(string(object), " ", "") == "{finished:1}" {
			continue
		}
		var h struct {
			IP    string `json:"ip"`
			Ports []struct {
				Port   uint16 `json:"port"`
				Proto  string `json:"proto"`
				Status string `json:"status"`
			} `json:"ports"`
		}
		if err := json.Unmarshal(object, &h); err != nil {
			return fmt.Errorf("record %d: not masscan's JSON (-oJ): %.60q", n, err.Error())
		}
		var ports []uint16
		for _, p := range h.Ports {
			if p.Proto == "tcp" && (p.Status == "open" || p.Status == "") { // a banner comes without a status
				ports = append(ports, p.Port)
			}
		}
		if err := c.hostText(h.IP, by, ports...); err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
	}
}

// nextObject cuts out the next {...} and skips what separates them.
func nextObject(in *bufio.Reader) ([]byte, error) {
	var out []byte
	depth, quoted, escaped := 0, false, false
	for {
		b, err := in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && depth > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if depth == 0 && b != '{' {
			if !strings.ContainsRune("[],\r\n\t ", rune(b)) {
				return nil, fmt.Errorf("not masscan's JSON (-oJ): %q stands between the hosts", b)
			}
			continue
		}
		if out = append(out, b); len(out) > maxRecord {
			return nil, fmt.Errorf("larger than %d bytes", maxRecord)
		}
		switch {
		case escaped:
			escaped = false
		case quoted && b == '\\':
			escaped = true
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{':
			depth++
		case b == '}':
			if depth--; depth == 0 {
				return out, nil
			}
		}
	}
}

// readMasscanList reads lines such as "open tcp 25 10.0.0.1 1700000000".
func readMasscanList(in *bufio.Reader, by string, c *collector) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRecord)
	n := 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		var port uint64
		var err error
		if len(f) >= 4 {
			port, err = strconv.ParseUint(f[2], 10, 16)
		}
		if len(f) < 4 || err != nil {
			return fmt.Errorf("line %d: %.60q is no line of masscan's list (-oL)", n, line)
		}
		var ports []uint16
		if f[1] == "tcp" && (f[0] == "open" || f[0] == "banner") {
			ports = []uint16{uint16(port)}
		}
		if err := c.hostText(f[3], by, ports...); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n, err)
	}
	return nil
}
