// SPDX-License-Identifier: AGPL-3.0-or-later

package canon

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Refusals of a text.
var (
	errEnd       = errors.New("the text ends early")
	errAfter     = errors.New("more text after the value")
	errValue     = errors.New("a value was expected")
	errDepth     = fmt.Errorf("nested deeper than %d", MaxDepth)
	errName      = errors.New("a member's name was expected")
	errColon     = errors.New("a colon was expected")
	errComma     = errors.New("a comma or the closing bracket was expected")
	errControl   = errors.New("a control character stands unescaped in a string")
	errEscape    = errors.New("an unknown escape")
	errUTF8      = errors.New("text is not UTF-8")
	errSurrogate = errors.New("half of a surrogate pair stands alone")
)

// parser reads one JSON text. After an error, at is where it stopped.
type parser struct {
	text  []byte
	at    int
	depth int
}

func (p *parser) document() (node, error) {
	n, err := p.value()
	if err != nil {
		return node{}, err
	}
	p.space()
	if p.at < len(p.text) {
		return node{}, errAfter
	}
	return n, nil
}

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek is the next byte, or 0 at the end (0 is in no valid JSON text).
func (p *parser) peek() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

func (p *parser) value() (node, error) {
	p.space()
	if p.at >= len(p.text) {
		return node{}, errEnd
	}
	switch c := p.peek(); {
	case c == '"':
		s, err := p.str()
		return node{kind: text, str: s}, err
	case c == '[':
		return p.nested(array, ']', p.item)
	case c == '{':
		return p.nested(object, '}', p.member)
	case c == '-' || (c >= '0' && c <= '9'):
		return p.number()
	default:
		return p.word()
	}
}

// nested reads an array or an object, whose parts one reads.
func (p *parser) nested(k kind, closing byte, one func() (node, error)) (node, error) {
	if p.depth++; p.depth > MaxDepth {
		return node{}, errDepth
	}
	n := node{kind: k}
	p.at++
	p.space()
	for p.peek() != closing {
		part, err := one()
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, part)
		p.space()
		switch c := p.peek(); {
		case c == ',':
			p.at++
			if p.space(); p.peek() == closing {
				return node{}, errValue
			}
		case c != closing:
			return node{}, errComma
		}
	}
	p.at++
	p.depth--
	if k == object {
		return n, n.order()
	}
	return n, nil
}

// order sorts an object's members and refuses a name that comes twice.
func (n *node) order() error {
	sortMembers(n.items)
	for i := 1; i < len(n.items); i++ {
		if n.items[i].name == n.items[i-1].name {
			return fmt.Errorf("the name %.40q comes twice in one object", n.items[i].name)
		}
	}
	return nil
}

func (p *parser) item() (node, error) { return p.value() }

func (p *parser) member() (node, error) {
	p.space()
	if p.peek() != '"' {
		return node{}, errName
	}
	name, err := p.str()
	if err != nil {
		return node{}, err
	}
	p.space()
	if p.peek() != ':' {
		return node{}, errColon
	}
	p.at++
	n, err := p.value()
	n.name = name
	return n, err
}

func (p *parser) word() (node, error) {
	for _, w := range [...]string{"null", "true", "false"} {
		if end := p.at + len(w); end <= len(p.text) && string(p.text[p.at:end]) == w {
			p.at = end
			return node{kind: literal, str: w}, nil
		}
	}
	return node{}, errValue
}

// number accepts what has one spelling only: an integer without leading zeros,
// without a negative zero, and within MaxInteger.
func (p *parser) number() (node, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	digits := p.at
	var v uint64
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		if v = v*10 + uint64(c-'0'); v > MaxInteger {
			return node{}, fmt.Errorf("%w: its magnitude is over %d", ErrNumber, int64(MaxInteger))
		}
		p.at++
	}
	switch c := p.peek(); {
	case p.at == digits:
		return node{}, errValue
	case c == '.' || c == 'e' || c == 'E':
		return node{}, fmt.Errorf("%w: it has a fraction or an exponent", ErrNumber)
	case p.text[digits] == '0' && (p.at > digits+1 || digits > start):
		return node{}, fmt.Errorf("%w: a leading zero or a negative zero", ErrNumber)
	}
	return node{kind: literal, str: string(p.text[start:p.at])}, nil
}

// str reads a string; p.at stands on its opening quote.
func (p *parser) str() (string, error) {
	p.at++
	var b []byte
	for {
		if p.at >= len(p.text) {
			return "", errEnd
		}
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return string(b), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
		case c < 0x20:
			return "", errControl
		default:
			r, size := utf8.DecodeRune(p.text[p.at:])
			if r == utf8.RuneError && size < 2 {
				return "", errUTF8
			}
			b = append(b, p.text[p.at:p.at+size]...)
			p.at += size
		}
	}
}

// escape reads one escape sequence, both halves of a surrogate pair included.
func (p *parser) escape() (rune, error) {
	if p.at+1 >= len(p.text) {
		return 0, errEnd
	}
	c := p.text[p.at+1]
	if c == 'u' {
		return p.unicode()
	}
	p.at += 2
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	}
	return 0, errEscape
}

func (p *parser) unicode() (rune, error) {
	r, err := p.unit()
	switch {
	case err != nil:
		return 0, err
	case r == utf8.RuneError:
		// encoding/json writes this escape for bytes that were no UTF-8, and the
		// plain character where it was meant.
		return 0, errUTF8
	case !utf16.IsSurrogate(r):
		return r, nil
	}
	if p.peek() != '\\' {
		return 0, errSurrogate
	}
	low, err := p.unit()
	if err != nil {
		return 0, err
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return 0, errSurrogate
	}
	return r, nil
}

// unit reads one \uXXXX.
func (p *parser) unit() (rune, error) {
	if p.at+6 > len(p.text) {
		return 0, errEnd
	}
	if p.text[p.at] != '\\' || p.text[p.at+1] != 'u' {
		return 0, errSurrogate
	}
	var r rune
	for _, c := range p.text[p.at+2 : p.at+6] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, errEscape
		}
	}
	p.at += 6
	return r, nil
}
