// SPDX-License-Identifier: AGPL-3.0-or-later

// Package paper puts a commissioning report on paper: as a page that a browser
// shows and prints, and as a PDF. Both say the same: the verdict first, then
// each proof with its figures, and the battery's steps as charts.
package paper

import (
	"bytes"
	_ "embed" // for the template
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/allmende-energy/allmende/gateway/commission"
)

//go:embed report.html.tmpl
var page string

// view is what both papers show.
type view struct {
	*commission.Report
	Word, Tone string // of the verdict
	Meta       [][2]string
	Signed     bool
	Digest     string
	Authority  string
	Sections   []section
}

// section is a device, the house or the lines.
type section struct {
	Title, Sub string
	Rows       []row
	Charts     []chart
}

type row struct {
	Tone, Mark, Name, Text, Next string
	Figures                      string
}

type chart struct {
	Title string
	curve *commission.Curve
}

// SVG is the chart for a page.
func (c chart) SVG() template.HTML {
	p, ok := layOut(c.curve, 340, 130)
	if !ok {
		return ""
	}
	return template.HTML(p.svg(c.Title)) //nolint:gosec // all of its text was escaped
}

// HTML is the report as a page of its own: no script, no other file.
func HTML(r *commission.Report, v commission.Verified) ([]byte, error) {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return nil, fmt.Errorf("the report's page: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, look(r, v)); err != nil {
		return nil, fmt.Errorf("the report's page: %w", err)
	}
	return b.Bytes(), nil
}

// look gathers what is shown.
func look(r *commission.Report, v commission.Verified) view {
	w := view{Report: r, Signed: v.Signer != "", Digest: v.Digest, Authority: v.Authority}
	w.Word, w.Tone = verdict(r.Verdict)
	gateway := "not enrolled yet"
	if r.Gateway != "" {
		gateway = r.Gateway + " of " + r.Community
	}
	const minute = "2 January 2006, 15:04 MST"
	w.Meta = [][2]string{{"Gateway", gateway}, {"Place", r.Place}, {"Installer", r.Installer}, {"Made", r.Ended.UTC().Format(minute)}, {"Software", r.Software}}
	w.Meta = slices.DeleteFunc(w.Meta, func(m [2]string) bool { return m[1] == "" })
	together := section{Title: "The house and its lines"}
	for _, p := range r.House {
		together.add("Devices against each other", p)
	}
	for _, b := range r.Buses {
		b.Proof.Text = b.URL + ": " + b.Proof.Text
		together.add("Bus budget", b.Proof)
	}
	for _, d := range r.Devices {
		s := section{Title: string(d.Asset), Sub: fmt.Sprintf("%s at %s, unit %d", d.Kind, d.URL, d.Unit)}
		if d.Kind == "" {
			s.Sub = fmt.Sprintf("%s, unit %d", d.URL, d.Unit)
		}
		if d.Profile != "" {
			s.Sub += ", read by profile " + d.Profile
		}
		for _, p := range d.Proofs {
			s.add(title(p.Name), p)
		}
		w.Sections = append(w.Sections, s)
	}
	if len(together.Rows) > 0 {
		w.Sections = append(w.Sections, together)
	}
	return w
}

func (s *section) add(name string, p commission.Proof) {
	r := row{Name: name, Text: p.Text, Next: capital(p.Next)}
	if p.Name != commission.Budget {
		r.Text = capital(p.Text)
	}
	r.Tone, r.Mark = tone(p.Outcome)
	var figures []string
	for _, f := range p.Figures {
		if p.Name == commission.Connection || p.Name == commission.Budget {
			break // the text has them all
		}
		figures = append(figures, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Name, f.Value, f.Unit)))
	}
	r.Figures = strings.Join(figures, " · ")
	s.Rows = append(s.Rows, r)
	if p.Curve != nil && len(p.Curve.Samples) > 1 {
		s.Charts = append(s.Charts, chart{title(p.Name), p.Curve})
	}
}

func title(proof string) string {
	switch proof {
	case commission.SignProof:
		return "Sign proof"
	case commission.FallbackProof:
		return "Fallback proof"
	}
	return capital(proof)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func verdict(v commission.Verdict) (word, tone string) {
	switch v {
	case commission.Ready:
		return "Ready", "good"
	case commission.ReadyWithRemarks:
		return "Ready, with remarks", "note"
	case commission.NotReady:
		return "Not ready", "bad"
	default:
		return "Stopped before the end", "note"
	}
}

func tone(o commission.Outcome) (tone, mark string) {
	switch o {
	case commission.Passed:
		return "good", "✓"
	case commission.Failed:
		return "bad", "✗"
	case commission.Remarked:
		return "note", "!"
	default:
		return "none", "–"
	}
}
