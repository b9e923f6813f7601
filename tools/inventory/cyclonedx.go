// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The part of CycloneDX 1.6 that we have something to say for.
type (
	bom struct {
		Format       string       `json:"bomFormat"`
		SpecVersion  string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string      `json:"type"`
		Ref        string      `json:"bom-ref"`
		Name       string      `json:"name"`
		Version    string      `json:"version,omitempty"`
		Scope      string      `json:"scope,omitempty"`
		Hashes     []hash      `json:"hashes,omitempty"`
		Licences   []licence   `json:"licenses,omitempty"`
		PURL       string      `json:"purl,omitempty"`
		Components []component `json:"components,omitempty"`
		Properties []property  `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// cycloneDX is the bill as JSON. The same parts give the same bytes.
func cycloneDX(version string, epoch int64, programs []file, parts []part) ([]byte, error) {
	self := component{
		Type: "application", Name: "allmende", Version: version, Licences: licences("AGPL-3.0-or-later"),
		Ref: purl("golang", "github.com/allmende-energy/allmende", version), PURL: purl("golang", "github.com/allmende-energy/allmende", version),
	}
	for _, f := range programs {
		self.Components = append(self.Components, component{
			Type: "file", Ref: "file:" + f.Name, Name: f.Name, Hashes: []hash{{"SHA-256", f.SHA256}},
		})
	}
	b := bom{
		Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{Timestamp: time.Unix(epoch, 0).UTC().Format(time.RFC3339), Component: self},
	}
	needs := dependency{Ref: self.Ref, DependsOn: []string{}}
	for _, p := range parts {
		c, err := p.component()
		if err != nil {
			return nil, err
		}
		b.Components = append(b.Components, c)
		if p.Shipped {
			needs.DependsOn = append(needs.DependsOn, c.Ref)
		}
	}
	b.Dependencies = []dependency{needs}
	content, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	b.Serial = serial(content)
	out, err := json.MarshalIndent(b, "", "  ")
	return append(out, '\n'), err
}

func (p part) component() (component, error) {
	c := component{Type: "library", Name: p.Name, Version: p.Version, Scope: "required", Licences: licences(p.Licences...), PURL: purl(p.Kind, p.Name, p.Version)}
	c.Ref = c.PURL
	if !p.Shipped {
		c.Scope = "excluded"
	}
	switch {
	case p.Sum == "":
	case p.Kind == "golang": // over the names and sums of files, so it is no hash of an archive
		c.Properties = []property{{"go:sum", p.Sum}}
	default:
		algorithm, sum, _ := strings.Cut(p.Sum, "-")
		raw, err := base64.StdEncoding.DecodeString(sum)
		if err != nil || algorithm != "sha512" {
			return component{}, fmt.Errorf("%s: the lock file's integrity %q is no sha512", p, p.Sum)
		}
		c.Hashes = []hash{{"SHA-512", hex.EncodeToString(raw)}}
	}
	return c, nil
}

func licences(ids ...string) []licence {
	out := make([]licence, len(ids))
	for i, id := range ids {
		out[i].License.ID = id
	}
	return out
}

// purl is the name by which other tools know a part.
func purl(kind, name, version string) string {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), "@", "%40")
	}
	return fmt.Sprintf("pkg:%s/%s@%s", kind, strings.Join(segments, "/"), url.PathEscape(version))
}

// serial is a UUID made of the content.
func serial(content []byte) string {
	h := sha256.Sum256(content)
	h[6] = h[6]&0x0f | 0x80 // version 8: made as we please
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
