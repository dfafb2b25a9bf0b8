package source

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// api is NetBox, which keeps score.
type api struct {
	mu    sync.Mutex
	asked []string // "token path?query"
	*httptest.Server
}

func netboxAPI(t *testing.T, answer func(a *api, w http.ResponseWriter, r *http.Request)) *api {
	t.Helper()
	a := new(api)
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.asked = append(a.asked, r.Header.Get("Authorization")+" "+r.URL.RequestURI())
		a.mu.Unlock()
		answer(a, w, r)
	}))
	a.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func (a *api) requests() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.asked...)
}

func TestNetBox(t *testing.T) {
	a := netboxAPI(t, func(a *api, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("offset") {
		case "":
			fmt.Fprintf(w, `{"next":"%s/api/ipam/prefixes/?limit=1000&offset=1000&status=active","results":[{"prefix":"10.20.0.0/24"}]}`, a.URL)
		case "1000":
			fmt.Fprint(w, `{"next":"/api/ipam/prefixes/?offset=2000","results":[{"prefix":"10.20.1.0/24"}]}`)
		default:
			fmt.Fprint(w, `{"next":null,"results":[{"prefix":"2001:db8::/64"}]}`)
		}
	})
	by := "netbox:" + strings.TrimPrefix(a.URL, "https://")
	f := &Finder{Token: "0123456789abcdef", Client: a.Client()}
	holds(t, find(t, f, "netbox:"+a.URL+"/api/ipam/prefixes/?status=active"), "10.20.0.0/24 | "+by, "10.20.1.0/24 | "+by, "left out: 2001:db8::/64 | "+by+" | an IPv6 prefix shorter than /112: only its hosts can be named")
	want := []string{
		"Token 0123456789abcdef /api/ipam/prefixes/?limit=1000&status=active",
		"Token 0123456789abcdef /api/ipam/prefixes/?limit=1000&offset=1000&status=active",
		"Token 0123456789abcdef /api/ipam/prefixes/?offset=2000",
	}
	if got := a.requests(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	// The tokens of NetBox 4.5 go another way; without one nothing is claimed.
	f.Token = "nbt_key.secret"
	find(t, f, "netbox:"+a.URL+"/api/ipam/prefixes/?limit=5")
	f.Token = ""
	find(t, f, "netbox:"+a.URL+"/api/ipam/prefixes/?limit=5")
	if got := a.requests(); got[3] != "Bearer nbt_key.secret /api/ipam/prefixes/?limit=5" || got[6] != " /api/ipam/prefixes/?limit=5" {
		t.Errorf("got %q", got[3:])
	}
}

// The token goes to one host alone, over TLS that is checked; and what is wrong shows nothing of it.
func TestNetBoxRefuses(t *testing.T) {
	other := netboxAPI(t, func(_ *api, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"results":[]}`) })
	const token = "0123456789abcdef"
	for _, tt := range []struct {
		name   string
		answer func(a *api, w http.ResponseWriter, r *http.Request)
		asked  int
		want   string
	}{
		{"a next page at another host", func(_ *api, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"next":%q,"results":[]}`, other.URL+"/x")
		}, 1, "it is not asked for"},
		{"a next page without TLS", func(a *api, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"next":%q,"results":[]}`, strings.Replace(a.URL, "https", "http", 1))
		}, 1, "it is not asked for"},
		{"a next page that is the same", func(a *api, w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"next":%q,"results":[]}`, a.URL+"/?same")
		}, 2, "pages without end"},
		{"pages without end", func(a *api, w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"next":"%s/?x%s","results":[]}`, a.URL, strings.TrimPrefix(r.URL.RawQuery, "limit=1000")+"1")
		}, maxPages, "pages without end"},
		{"a redirect to another host", func(_ *api, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusFound)
		}, 1, "redirects are not followed"},
		{"a redirect to itself", func(_ *api, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		}, 1, "redirects are not followed"},
		{"a token that may not read", func(_ *api, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}, 1, "it answers 403: does RELAYSWEEP_NETBOX_TOKEN"},
		{"a server that fails", func(_ *api, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		}, 1, "it answers 502"},
		{"a page for people", func(_ *api, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, 1, "not NetBox's JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := netboxAPI(t, tt.answer)
			_, err := (&Finder{Token: token, Client: a.Client()}).Find(t.Context(), query(t, "netbox:"+a.URL))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), token) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if n := len(a.requests()); n != tt.asked {
				t.Errorf("%d requests, want %d", n, tt.asked)
			}
		})
	}
	if n := len(other.requests()); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	t.Run("a certificate that nobody vouches for", func(t *testing.T) {
		a := netboxAPI(t, func(*api, http.ResponseWriter, *http.Request) {})
		_, err := (&Finder{Token: token}).Find(t.Context(), query(t, "netbox:"+a.URL))
		if err == nil || !strings.Contains(err.Error(), "certificate") || len(a.requests()) != 0 {
			t.Errorf("got %v, %d requests", err, len(a.requests()))
		}
	})
	t.Run("a token with a line break", func(t *testing.T) {
		a := netboxAPI(t, func(*api, http.ResponseWriter, *http.Request) {})
		_, err := (&Finder{Token: "a\r\nX: b", Client: a.Client()}).Find(t.Context(), query(t, "netbox:"+a.URL))
		if err == nil || len(a.requests()) != 0 {
			t.Errorf("got %v, %d requests", err, len(a.requests()))
		}
	})
}
