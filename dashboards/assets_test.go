// SPDX-License-Identifier: AGPL-3.0-or-later

package dashboards

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// handler is made once: packing the files takes a while under the race detector.
var handler = sync.OnceValue(func() http.Handler {
	return Handler(map[string][]byte{"more/list.json": []byte("[]"), "more/note.yaml": []byte("a: b\n")})
})

func get(t *testing.T, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler().ServeHTTP(w, r)
	return w
}

func TestEveryFileIsServed(t *testing.T) {
	seen := map[string]int{}
	err := fs.WalkDir(Assets(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := fs.ReadFile(Assets(), name)
		if err != nil {
			return err
		}
		r := get(t, http.MethodGet, "/"+name)
		if r.Code != http.StatusOK || !bytes.Equal(r.Body.Bytes(), want) {
			t.Errorf("%s: status %d, or other bytes than built", name, r.Code)
		}
		if got := r.Header().Get("Content-Type"); got != contentTypes[path.Ext(name)] || got == "" {
			t.Errorf("%s: content type %q", name, got)
		}
		seen[path.Ext(name)]++

		packed := get(t, http.MethodGet, "/"+name, "Accept-Encoding", "br, gzip;q=0.8")
		if packed.Header().Get("Content-Encoding") != "gzip" {
			return nil
		}
		z, err := gzip.NewReader(packed.Body)
		if err != nil {
			return err
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: unpacked, it is not what was built (%v)", name, err)
		}
		if packed.Header().Get("ETag") == r.Header().Get("ETag") {
			t.Errorf("%s: packed and plain bytes share an ETag", name)
		}
		seen["packed"]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{".html", ".js", ".css", ".woff2", ".svg", "packed"} {
		if seen[kind] == 0 {
			t.Errorf("the built page holds no %s; run npm run build in dashboards/web", kind)
		}
	}
}

func TestMoreFilesAreServed(t *testing.T) {
	for name, want := range map[string]string{"/more/list.json": "application/json", "/more/note.yaml": "text/plain; charset=utf-8"} {
		if r := get(t, http.MethodGet, name); r.Code != http.StatusOK || r.Header().Get("Content-Type") != want || r.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: status %d, %v", name, r.Code, r.Header())
		}
	}
	w := httptest.NewRecorder()
	Handler(map[string][]byte{"a.exe": nil}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "a.exe") {
		t.Errorf("a file of an unknown kind: status %d, %s", w.Code, w.Body)
	}
}

func TestRootIsThePage(t *testing.T) {
	r := get(t, http.MethodGet, "/")
	if r.Code != http.StatusOK || !bytes.Contains(r.Body.Bytes(), []byte(`<div id="app">`)) {
		t.Errorf("status %d, or not the page", r.Code)
	}
	if got := r.Header().Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self'") {
		t.Errorf("policy %q", got)
	}
}

func TestNotModified(t *testing.T) {
	for _, coding := range []string{"", "gzip"} {
		etag := get(t, http.MethodGet, "/app.js", "Accept-Encoding", coding).Header().Get("ETag")
		r := get(t, http.MethodGet, "/app.js", "Accept-Encoding", coding, "If-None-Match", etag)
		if r.Code != http.StatusNotModified || len(r.Body.Bytes()) != 0 {
			t.Errorf("coding %q: status %d", coding, r.Code)
		}
		if r = get(t, http.MethodGet, "/app.js", "Accept-Encoding", coding, "If-None-Match", `"old"`); r.Code != http.StatusOK {
			t.Errorf("coding %q, an old tag: status %d", coding, r.Code)
		}
	}
}

func TestRefusals(t *testing.T) {
	for target, want := range map[string]int{"/nothing": 404, "/fonts": 404, "/../assets.go": 404, "/index.html/": 404} {
		if got := get(t, http.MethodGet, target).Code; got != want {
			t.Errorf("%s: status %d, want %d", target, got, want)
		}
	}
	r := get(t, http.MethodPost, "/")
	if r.Code != http.StatusMethodNotAllowed || r.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, allowed %q", r.Code, r.Header().Get("Allow"))
	}
	if r := get(t, http.MethodHead, "/app.css"); r.Code != http.StatusOK || len(r.Body.Bytes()) != 0 {
		t.Errorf("HEAD: status %d", r.Code)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "br, gzip": true, "gzip;q=0.5": true, "gzip; q=0.001": true,
		"gzip;q=0": false, "gzip; q=0.0": false, "gzip;q=0.000": false, "x-gzip": false, "gzip;q=": true,
	} {
		if acceptsGzip(header) != want {
			t.Errorf("%q: want %v", header, want)
		}
	}
}

// The policy forbids what stands in the page itself; the browser would not say
// so before somebody looks.
func TestThePageKeepsItsPolicy(t *testing.T) {
	html, err := fs.ReadFile(Assets(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for what, pattern := range map[string]string{
		"an inline script":         `<script[^>]*>`,
		"a style":                  `<style|\sstyle=`,
		"an event handler":         `\son[a-z]+=`,
		"something from elsewhere": `(?:src|href)="(?:https?:)?//`,
	} {
		for _, found := range regexp.MustCompile(pattern).FindAllString(string(html), -1) {
			if !strings.Contains(found, `src="/`) {
				t.Errorf("index.html holds %s: %s", what, found)
			}
		}
	}
	css, err := fs.ReadFile(Assets(), "app.css")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?:url\(["']?|@import\s+["']?)(?:https?:)?//[^)]*`).Find(css); found != nil {
		t.Errorf("app.css loads %s", found)
	}
}
