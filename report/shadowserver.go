package report

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The columns of Shadowserver's report scan_smtp (Accessible SMTP), in its order. What we don't know stays empty: no
// geography, and nothing of the certificate but what the handshake shows.
const shadowserverNames = "timestamp severity ip protocol port hostname tag asn geo region city naics hostname_source sector banner " +
	"auth_ssl_response auth_tls_response cert_expiration_date cert_expired cert_issue_date cert_length cert_serial_number cert_valid " +
	"cipher_suite freak_cipher_suite freak_vulnerable handshake issuer_business_category issuer_common_name issuer_country " +
	"issuer_email_address issuer_given_name issuer_locality_name issuer_organization_name issuer_organization_unit_name issuer_postal_code " +
	"issuer_serial_number issuer_state_or_province_name issuer_street_address issuer_surname jarm key_algorithm md5_fingerprint raw_cert " +
	"raw_cert_chain self_signed sha1_fingerprint sha256_fingerprint sha512_fingerprint signature_algorithm ssl_version sslv3_supported " +
	"subject_business_category subject_common_name subject_country subject_email_address subject_given_name subject_locality_name " +
	"subject_organization_name subject_organization_unit_name subject_postal_code subject_serial_number subject_state_or_province_name " +
	"subject_street_address subject_surname tlsv13_cipher tlsv13_support validation_level " +
	"relay relay_class relay_vectors vantage" // ours

// nameParts are the parts of a certificate's name that have a column, by their short names (RFC 4514).
var nameParts = map[string]string{
	"CN": "common_name", "C": "country", "L": "locality_name", "O": "organization_name", "OU": "organization_unit_name", "POSTALCODE": "postal_code",
	"SERIALNUMBER": "serial_number", "ST": "state_or_province_name", "STREET": "street_address",
}

const shadowserverTime = "2006-01-02 15:04:05"

// WriteShadowserver writes the mail services as CSV in the form of Shadowserver's report scan_smtp, for what reads that,
// such as IntelMQ; the relay test follows in columns of ours. Cells that a spreadsheet could take for a formula are
// disarmed.
func WriteShadowserver(w io.Writer, r *Report) error {
	var of *Entry
	var cells map[string]string // of that entry, as all columns of a row are made before the next
	var columns []csvColumn[Report, *Entry]
	for n := range strings.FieldsSeq(shadowserverNames) {
		columns = append(columns, csvColumn[Report, *Entry]{n, func(r *Report, e *Entry) string {
			if of != e {
				of, cells = e, r.shadowserver(e)
			}
			return cells[n]
		}})
	}
	return writeRows(w, columns, r, r.only((*Entry).mail))
}

// shadowserver is the cells of an entry, by column.
func (r *Report) shadowserver(e *Entry) map[string]string {
	f := &e.Finding
	at := seen(f)
	if at.IsZero() {
		at = r.Scan.time()
	}
	cells := map[string]string{
		"timestamp": at.UTC().Format(shadowserverTime), "severity": e.Severity.String(), "ip": f.Addr.Addr().String(), "protocol": "tcp", "port": strconv.Itoa(int(f.Addr.Port())),
		"tag": protocol(f), "banner": raw(f.Greeting), "relay": e.Verdict.String(), "relay_class": string(e.Class), "relay_vectors": plain(strings.Join(e.Vectors, " ")), "vantage": plain(f.Vantage),
	}
	if len(f.Names) > 0 {
		cells["hostname"] = raw(f.Names[0])
	}
	t := f.TLS
	if t == nil || t.Version == "" {
		return cells
	}
	cells["cipher_suite"], cells["handshake"] = raw(t.Cipher), plain(strings.Replace(t.Version, "TLS ", "TLSv", 1))
	cells["tlsv13_support"] = yesNo(t.Version == "TLS 1.3") // the best that both speak is known
	if t.Version == "TLS 1.3" {
		cells["tlsv13_cipher"] = cells["cipher_suite"]
	}
	if !t.NotAfter.IsZero() {
		cells["cert_issue_date"], cells["cert_expiration_date"] = t.NotBefore.UTC().Format(shadowserverTime), t.NotAfter.UTC().Format(shadowserverTime)
		cells["cert_expired"] = yesNo(t.NotAfter.Before(at))
	}
	if sum, err := hex.DecodeString(t.SHA256); err == nil {
		cells["sha256_fingerprint"] = strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
	}
	if cmp.Or(t.Subject, t.Issuer) != "" {
		cells["self_signed"] = yesNo(t.Subject == t.Issuer)
	}
	for prefix, name := range map[string]string{"subject_": t.Subject, "issuer_": t.Issuer} {
		for part, value := range distinguished(name) {
			if column := nameParts[part]; column != "" {
				cells[prefix+column] = raw(value)
			}
		}
	}
	return cells
}

func yesNo(b bool) string {
	if b {
		return "Y"
	}
	return "N"
}

// distinguished splits a distinguished name as RFC 4514 writes it. Of several values of a part the first counts.
func distinguished(name string) map[string]string {
	out := make(map[string]string)
	for len(name) > 0 {
		var value strings.Builder
		key, rest, _ := strings.Cut(name, "=")
		i := 0
		for ; i < len(rest) && rest[i] != ',' && rest[i] != '+'; i++ {
			if rest[i] == '\\' && i+1 < len(rest) {
				i++
			}
			value.WriteByte(rest[i])
		}
		if _, ok := out[key]; !ok {
			out[key] = value.String()
		}
		name = rest[min(i+1, len(rest)):]
	}
	return out
}
