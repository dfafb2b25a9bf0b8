package report

import (
	"crypto/x509/pkix"
	"encoding/csv"
	"maps"
	"slices"
	"strings"
	"testing"

	"relaysweep/probe"
)

func readShadowserver(t *testing.T, r *Report) (header []string, rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(render(t, WriteShadowserver, r))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all[1:] {
		cells := make(map[string]string)
		for i, c := range row {
			if c != "" {
				cells[all[0][i]] = c
			}
		}
		rows = append(rows, cells)
	}
	return all[0], rows
}

func TestShadowserverHeader(t *testing.T) {
	header, rows := readShadowserver(t, New(Input{}))
	// The fields of scan_smtp in Shadowserver's report_schema, and ours behind them.
	const want = "timestamp,severity,ip,protocol,port,hostname,tag,asn,geo,region,city,naics,hostname_source,sector,banner,auth_ssl_response,auth_tls_response," +
		"cert_expiration_date,cert_expired,cert_issue_date,cert_length,cert_serial_number,cert_valid,cipher_suite,freak_cipher_suite,freak_vulnerable,handshake," +
		"issuer_business_category,issuer_common_name,issuer_country,issuer_email_address,issuer_given_name,issuer_locality_name,issuer_organization_name," +
		"issuer_organization_unit_name,issuer_postal_code,issuer_serial_number,issuer_state_or_province_name,issuer_street_address,issuer_surname,jarm,key_algorithm," +
		"md5_fingerprint,raw_cert,raw_cert_chain,self_signed,sha1_fingerprint,sha256_fingerprint,sha512_fingerprint,signature_algorithm,ssl_version,sslv3_supported," +
		"subject_business_category,subject_common_name,subject_country,subject_email_address,subject_given_name,subject_locality_name,subject_organization_name," +
		"subject_organization_unit_name,subject_postal_code,subject_serial_number,subject_state_or_province_name,subject_street_address,subject_surname,tlsv13_cipher," +
		"tlsv13_support,validation_level,relay,relay_class,relay_vectors,vantage"
	if got := strings.Join(header, ","); got != want || len(rows) != 0 {
		t.Errorf("got %s and %d rows, want %s", got, len(rows), want)
	}
}

func TestShadowserverRows(t *testing.T) {
	modern := finding("[2001:db8::1]:465", "Postfix", "Postfix", "3.11.6", "mx.org.example", attempt("S1", "", ok, denied))
	modern.Protocol = "smtps"
	modern.TLS = &probe.TLS{
		Mode: "implicit", Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", NotBefore: began.AddDate(-1, 0, 0), NotAfter: began.AddDate(0, 0, -1), SHA256: "00ffab",
		Subject: pkix.Name{CommonName: "mx.org.example", Organization: []string{"Example, City+"}, Country: []string{"JP"}, Locality: []string{"Kyoto"}}.String(), Issuer: "CN=Example CA",
	}
	broken := finding("192.0.2.2:465", "", "", "", "")
	broken.TLS = &probe.TLS{Mode: "implicit", Error: "handshake failure"}
	old := findings()[11]
	old.Names = nil
	for _, tt := range []struct {
		name string
		f    probe.Finding
		want string
	}{
		{
			"a server that took a canary", findings()[4],
			"banner=mx1.org.example ESMTP Postfix hostname=mx1.org.example ip=198.51.100.10 port=25 protocol=tcp relay=queued relay_class=undetermined relay_vectors=S1 S6 severity=high tag=smtp timestamp=2026-11-22 02:01:03 vantage=internet",
		},
		{
			"a certificate that has run out", modern,
			"banner=mx.org.example ESMTP Postfix cert_expiration_date=2026-11-21 02:00:00 cert_expired=Y cert_issue_date=2025-11-22 02:00:00 cipher_suite=TLS_AES_128_GCM_SHA256 handshake=TLSv1.3 hostname=mx.org.example ip=2001:db8::1 issuer_common_name=Example CA port=465 protocol=tcp " +
				"relay=refused relay_class=closed self_signed=N severity=info sha256_fingerprint=00:FF:AB subject_common_name=mx.org.example subject_country=JP subject_locality_name=Kyoto subject_organization_name=Example, City+ tag=smtps timestamp=2026-11-22 02:01:03 tlsv13_cipher=TLS_AES_128_GCM_SHA256 tlsv13_support=Y vantage=internet",
		},
		{
			"old TLS", old,
			"banner=smtp.org.example ESMTP Postfix cert_expiration_date=2027-11-22 02:00:00 cert_expired=N cert_issue_date=2017-11-22 02:00:00 cipher_suite=TLS_RSA_WITH_AES_128_CBC_SHA handshake=TLSv1.0 ip=198.51.100.16 issuer_common_name=smtp.org.example port=587 protocol=tcp " +
				"relay=refused relay_class=auth-only self_signed=Y severity=low sha256_fingerprint=00:FF subject_common_name=smtp.org.example tag=smtp timestamp=2026-11-22 02:01:03 tlsv13_support=N vantage=internet",
		},
		{"no TLS in the end", broken, "banner= ESMTP  ip=192.0.2.2 port=465 protocol=tcp relay=unknown relay_class=undetermined severity=low tag=smtp timestamp=2026-11-22 02:01:03 vantage=internet"},
		{"no mail server", listener("192.0.2.1:2525", "ssh", ""), ""},
	} {
		_, rows := readShadowserver(t, New(Input{Scan: scan(), Findings: []probe.Finding{tt.f}}))
		var got []string
		for _, cells := range rows {
			for _, n := range slices.Sorted(maps.Keys(cells)) {
				got = append(got, n+"="+cells[n])
			}
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// Names of certificates come from strangers, and so do their separators.
func TestDistinguishedNames(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"CN=mx.example,O=A\\, B\\+C,C=JP", "C=JP CN=mx.example O=A, B+C"},
		{"CN=one,CN=two", "CN=one"},
		{"OU=a+OU=b", "OU=a"},
		{"CN=", "CN="},
		{"CN", "CN="},
		{"CN=a\\", "CN=a\\"},
		{",,=,", ",,="},
		{"", ""},
	} {
		d := distinguished(tt.in)
		var got []string
		for _, k := range slices.Sorted(maps.Keys(d)) {
			got = append(got, k+"="+d[k])
		}
		if got := strings.Join(got, " "); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
}
