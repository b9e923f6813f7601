// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/dashboards"
)

// webPage is the page, with the charter templates of this program beside it: who
// tries a charter out there begins with one of them. They are for everybody, as
// the program is.
func webPage() (http.Handler, error) {
	list, err := templateList()
	if err != nil {
		return nil, err
	}
	index, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("the list of templates: %w", err)
	}
	files := map[string][]byte{"charters/index.json": index}
	for _, t := range charters.Templates() {
		files["charters/"+t.Name+".yaml"] = t.YAML
	}
	return dashboards.Handler(files), nil
}
