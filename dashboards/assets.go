// SPDX-License-Identifier: AGPL-3.0-or-later

// Package dashboards shows: it holds the web page of a community, built from
// dashboards/web and committed in dashboards/dist, so that a build of the
// program needs Go alone.
//
// The page is static. It asks the REST interface for the register, the charter
// and the settled intervals, listens to the live events, and sends no request
// to anywhere else; the headers that Handler sets let the browser enforce that.
package dashboards

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load its own files, talk to its own origin, and nothing else.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// contentTypes names what is served. It is a list of our own, because the
// answers of package mime depend on the machine.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
	".yaml":  "text/plain; charset=utf-8", // shown by browsers, and not saved
}

// Assets returns the built page, with index.html at its root.
func Assets() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil { // only an invalid path gives an error, and "dist" is none
		return dist
	}
	return sub
}

// asset is one file, ready to be sent plain or compressed.
type asset struct {
	contentType string
	etag        string // of the plain bytes, without quotes
	plain       []byte
	packed      []byte // gzip, nil where it would not be smaller
}

// Handler serves the page at / and its files beside it: GET and HEAD, with a
// strong ETag a file, compressed for those who accept it. Names carry no hash,
// so a browser asks again each time and is answered "not modified". More files
// that are for everybody, such as the charter templates, come by name.
func Handler(more map[string][]byte) http.Handler {
	files, err := load(Assets(), more)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			http.Error(w, "the page cannot be read from the program: "+err.Error()+"; build the program again", http.StatusInternalServerError)
			return
		}
		serve(w, r, files)
	})
}

func serve(w http.ResponseWriter, r *http.Request, files map[string]asset) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read: use GET", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	file, ok := files[name]
	if !ok {
		http.Error(w, "there is nothing here; the page is at /", http.StatusNotFound)
		return
	}
	body, etag := file.plain, file.etag
	if file.packed != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, etag = file.packed, file.etag+"-gzip"
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Vary", "Accept-Encoding")
	header.Set("Content-Type", file.contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

// load reads every file of the built page once, and those that come with it.
func load(page fs.FS, more map[string][]byte) (map[string]asset, error) {
	files := make(map[string]asset)
	for name, plain := range more {
		file, err := pressed(name, plain)
		if err != nil {
			return nil, err
		}
		files[name] = file
	}
	err := fs.WalkDir(page, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := fs.ReadFile(page, name)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		files[name], err = pressed(name, plain)
		return err
	})
	return files, err
}

// pressed makes a file ready to be sent.
func pressed(name string, plain []byte) (asset, error) {
	contentType, ok := contentTypes[path.Ext(name)]
	if !ok {
		return asset{}, fmt.Errorf("file %s: no content type is known for %q", name, path.Ext(name))
	}
	packed, err := pack(plain)
	if err != nil {
		return asset{}, fmt.Errorf("compressing %s: %w", name, err)
	}
	sum := sha256.Sum256(plain)
	return asset{contentType, hex.EncodeToString(sum[:16]), plain, packed}, nil
}

// pack compresses, and returns nil where that saves nothing (fonts are compressed already).
func pack(plain []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if buf.Len() >= len(plain) {
		return nil, nil
	}
	return buf.Bytes(), nil
}

// acceptsGzip reads an Accept-Encoding header: a coding with weight nought is refused.
func acceptsGzip(header string) bool {
	for _, item := range strings.Split(header, ",") {
		coding, params, _ := strings.Cut(item, ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		weight, weighted := strings.CutPrefix(strings.TrimSpace(params), "q=")
		return !weighted || weight == "" || strings.Trim(weight, "0.") != ""
	}
	return false
}
