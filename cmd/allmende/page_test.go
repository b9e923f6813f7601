// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/allmende-energy/allmende/charters"
)

// The page's list of templates is that of the program, and each is there to be read.
func TestPageHasTheTemplates(t *testing.T) {
	page, err := webPage()
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
		return w
	}
	var list []templateResult
	if err := json.Unmarshal(get("/charters/index.json").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	all := charters.Templates()
	if len(list) != len(all) || len(list) == 0 {
		t.Fatalf("%d templates are listed, of %d", len(list), len(all))
	}
	for i, one := range all {
		text := get("/charters/" + list[i].Name + ".yaml")
		if !bytes.Equal(text.Body.Bytes(), one.YAML) || list[i].Title == "" {
			t.Errorf("template %d: %+v is not %s", i, list[i], one.Name)
		}
		if got := text.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%s: content type %q", one.Name, got)
		}
	}
	get("/")
}
