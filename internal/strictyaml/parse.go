// SPDX-License-Identifier: AGPL-3.0-or-later

package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxMarks bounds the values of a file before any is allocated: each takes one
// of the characters that divide YAML. The largest register stays below.
const maxMarks = 1 << 20

// parse gives the only document in src, or nil and a problem. The parser takes
// time in proportion to the size and refuses nesting that could exhaust a stack.
func (d *Document) parse(src []byte, o Options) *yaml.Node {
	if reason := refuse(src, o.maxSize()); reason != "" {
		d.addf(0, "", "%s", reason)
		return nil
	}
	in := &lineReader{rest: src}
	root, err := document(in)
	switch {
	case err == nil && root != nil:
		return root
	case err == nil:
		d.addf(0, "", "empty; %s", o.Start)
	case errors.Is(err, errSecond):
		d.addf(root.Line, "", "a second document begins; a file holds one, so remove the line ---")
	default:
		line, reason := syntax(err, src[:len(src)-len(in.rest)])
		d.addf(line, "", "%s", reason)
	}
	return nil
}

// refuse says why src need not be parsed, or is empty.
func refuse(src []byte, most int) string {
	const byHand = "nobody writes such a file by hand, so check its path"
	if len(src) > most {
		return fmt.Sprintf("larger than %d KiB; %s", most>>10, byHand)
	}
	marks := 0
	for _, c := range src {
		switch c {
		case ':', '-', '?', ',', '[', '{':
			marks++
		}
	}
	switch {
	case marks > maxMarks:
		return fmt.Sprintf("more than %d values; %s", maxMarks, byHand)
	case !utf8.Valid(src):
		return "not text in UTF-8; check its path, or save it as UTF-8"
	case bytes.Contains(src, []byte("%TAG")): // many of them cost the square of their number
		return "has a line %TAG; tags are not read here, so remove it"
	}
	return ""
}

// errSecond: the file goes on after its document.
var errSecond = errors.New("a second document")

// document parses all of in; with [errSecond] it gives the document too many. A
// parser of somebody else's reads what anybody may have written: should it fall
// over, that is this file's problem and not the program's.
func document(in io.Reader) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the parser gave up: %.100v", r)
		}
	}()
	dec := yaml.NewDecoder(in)
	var first, second yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&second); err == nil {
		return &second, errSecond
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if root = first.Content[0]; blank(root) {
		return nil, nil
	}
	return root, nil
}

// syntax puts the parser's error into line and reason. The parser itself says
// only where the thing began that it could not finish; read is how far it got.
func syntax(err error, read []byte) (line int, reason string) {
	line = bytes.Count(bytes.TrimSuffix(read, []byte("\n")), []byte("\n")) + 1
	reason = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(reason); m != nil {
		reason = reason[len(m[0]):]
		began, _ := strconv.Atoi(m[1])
		if strings.HasPrefix(reason, "did not find expected") {
			began++ // these count lines from 0
		}
		switch {
		case reason == "found unexpected end of stream", reason == "could not find expected ':'":
			line = began // a quote that is never closed, a field without a colon
		case began < line:
			reason += fmt.Sprintf(" in what begins on line %d", began)
		}
	}
	switch alias, found := strings.CutPrefix(reason, "unknown anchor '"); {
	case strings.HasPrefix(reason, "mapping values are not allowed"):
		return line, "not YAML that can be read: a value on this line, or the one before it, has a colon with a space behind it; put the value in quotes, or check indentation"
	case strings.Contains(reason, "max depth"):
		return line, "nested too deep; write each entry on a line of its own, as the examples do"
	case found:
		name, _, _ := strings.Cut(alias, "'")
		line = bytes.Count(read[:max(bytes.LastIndex(read, []byte("*"+name)), 0)], []byte("\n")) + 1
		return line, noMarks
	}
	return line, fmt.Sprintf("not YAML that can be read: %s; check indentation, colons, quotes and brackets on this line and before it", clip(reason))
}

// lineReader hands out one line at a time, so that what is left says how far a
// reader has come.
type lineReader struct {
	rest []byte
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := len(r.rest)
	if i := bytes.IndexByte(r.rest, '\n'); i >= 0 {
		n = i + 1
	}
	n = copy(p, r.rest[:n])
	r.rest = r.rest[n:]
	return n, nil
}
