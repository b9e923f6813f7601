// SPDX-License-Identifier: AGPL-3.0-or-later

package settings

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/energy"
)

// Value is where a setting goes and what may stand there. Its constructors are
// below; [Parsed] makes one for a type of your own.
type Value struct {
	Kind   string // what it is, for people: "host and port"
	Bounds string // what is allowed, for people: "100ms to 15m"; empty where Kind says it

	form   form
	secret bool
	set    func(texts []string) error
	show   func() string // what may be seen of a secret
	typ    reflect.Type  // of a structured value
	take   func(reflect.Value)
}

// form is how YAML writes a value.
type form int

const (
	scalar     form = iota // anything that reads itself from its text
	text                   // text that must look like text
	boolean                // true or false
	number                 // a whole number
	list                   // a list of texts
	structured             // fields of its own; only the file can say it
)

// raw keeps a scalar as it was written.
type raw string

// UnmarshalText keeps it.
func (r *raw) UnmarshalText(b []byte) error {
	*r = raw(b)
	return nil
}

func (v Value) fileType() reflect.Type {
	switch v.form {
	case text:
		return reflect.TypeFor[*string]()
	case boolean:
		return reflect.TypeFor[*bool]()
	case number:
		return reflect.TypeFor[*int64]()
	case list:
		return reflect.TypeFor[[]string]()
	case structured:
		return v.typ
	default:
		return reflect.TypeFor[*raw]()
	}
}

// IsList says whether the value is a list.
func (v Value) IsList() bool { return v.form == list }

// split is how environment and flags write a value: a list is divided by commas.
func (v Value) split(s string) []string {
	if v.form != list {
		return []string{s}
	}
	entries := []string{}
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}

// entryError is what is wrong with one entry of a list.
type entryError struct {
	index int
	error
}

// Parsed is a value of any type that a function reads. kind and bounds are for people.
func Parsed[T any](into *T, kind, bounds string, parse func(string) (T, error)) Value {
	return Value{Kind: kind, Bounds: bounds, set: func(texts []string) error {
		v, err := parse(texts[0])
		if err == nil {
			*into = v
		}
		return err
	}}
}

// ListOf is a list of texts, each of which check may refuse; check may be nil.
func ListOf(into *[]string, kind string, check func(string) error) Value {
	return Value{Kind: kind, form: list, set: func(texts []string) error {
		for i, entry := range texts {
			if check == nil {
				continue
			}
			if err := check(entry); err != nil {
				return entryError{i, err}
			}
		}
		*into = slices.Clone(texts)
		return nil
	}}
}

// Structured is a value with fields of its own, a slice or struct with yaml
// tags. Only the file can say it.
func Structured[T any](into *T, kind string) Value {
	return Value{Kind: kind, form: structured, typ: reflect.TypeFor[T](), take: func(v reflect.Value) {
		*into = v.Interface().(T)
	}}
}

// Text is any text.
func Text(into *string) Value {
	v := Parsed(into, "text", "", func(s string) (string, error) { return s, nil })
	v.form = text
	return v
}

// Hidden is a text that is never shown.
func Hidden(into *Secret) Value {
	v := Parsed(into, "secret text", "", func(s string) (Secret, error) { return NewSecret(s), nil })
	v.secret, v.show = true, func() string { return into.String() }
	return v
}

// HiddenURL is an address that may hold a password, of which only that is not
// shown. An empty one is allowed.
func HiddenURL(into *Secret, kind string, schemes ...string) Value {
	v := Parsed(into, kind, "begins with "+strings.Join(schemes, ":// or ")+"://", func(s string) (Secret, error) {
		if s == "" {
			return Secret{}, nil
		}
		u, err := url.Parse(s)
		if err != nil || !slices.Contains(schemes, u.Scheme) { // an error of the parser would repeat the password
			return Secret{}, fmt.Errorf("this is no address that begins with %s:// (it is not repeated here, as it may hold a password)", strings.Join(schemes, ":// or "))
		}
		query := u.Query()
		for name := range query {
			if strings.Contains(name, "pass") || strings.Contains(name, "token") || strings.Contains(name, "key") {
				query.Set(name, "xxxxx")
			}
		}
		u.RawQuery = query.Encode()
		return Secret{s, u.Redacted()}, nil
	})
	v.secret, v.show = true, func() string { return into.String() }
	return v
}

// Path is a file or folder; a relative one starts at dir.
func Path(into *string, dir string) Value {
	v := Parsed(into, "path", "relative ones start at the folder of the file", func(s string) (string, error) {
		if s == "" || strings.ContainsRune(s, 0) {
			return "", fmt.Errorf("no path: write one relative to this file, or leave the line out for the default")
		}
		if filepath.IsAbs(s) {
			return s, nil
		}
		return filepath.Join(dir, s), nil
	})
	v.form = text
	return v
}

// Address is host and port, to listen on or to dial.
func Address(into *string) Value {
	return Parsed(into, "host and port", "", parseAddress)
}

func parseAddress(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%.80q is no address: write host and port, such as 127.0.0.1:8080", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("%.80q: the port is a number from 0 (any that is free) to 65535, not %q", s, port)
	}
	if strings.ContainsAny(host, " /@") {
		return "", fmt.Errorf("%.80q: the host is a name or an IP address", s)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// URL is an address of the web. An empty one is allowed.
func URL(into *string, schemes ...string) Value {
	return Parsed(into, "URL", "begins with "+strings.Join(schemes, ":// or ")+"://", func(s string) (string, error) {
		u, err := url.Parse(s)
		switch {
		case s == "":
			return "", nil
		case err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "":
			return "", fmt.Errorf("%.200q is no URL: write one that begins with %s://", s, strings.Join(schemes, ":// or "))
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return "", fmt.Errorf("write host, port and path alone: what proves who you are has a setting of its own")
		}
		return s, nil
	})
}

// Span is a length of world time within bounds.
func Span(into *energy.Span, least, most energy.Span) Value {
	return Parsed(into, "time", least.String()+" to "+most.String(), func(s string) (energy.Span, error) {
		var span energy.Span
		if err := span.UnmarshalText([]byte(s)); err != nil {
			return 0, err
		}
		if span < least || span > most {
			return 0, fmt.Errorf("%s: write %s to %s", span, least, most)
		}
		return span, nil
	})
}

// Duration is a length of wall time within bounds.
func Duration(into *time.Duration, least, most time.Duration) Value {
	return Parsed(into, "time", least.String()+" to "+most.String(), func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%.40q: write a time such as 500ms, 1s or 2m", s)
		}
		if d < least || d > most {
			return 0, fmt.Errorf("%s: write %s to %s", d, least, most)
		}
		return d, nil
	})
}

// Days is a number of days of wall time within bounds, written as "30d" or as hours.
func Days(into *time.Duration, least, most int) Value {
	const day = 24 * time.Hour
	bounds := fmt.Sprintf("%dd to %dd", least, most)
	return Parsed(into, "days", bounds, func(s string) (time.Duration, error) {
		digits, isDays := strings.CutSuffix(s, "d")
		n, err := strconv.ParseUint(digits, 10, 16)
		if !isDays || err != nil {
			return 0, fmt.Errorf("%.40q: write a number of days such as 30d", s)
		}
		if int(n) < least || int(n) > most {
			return 0, fmt.Errorf("%s: write %s", s, bounds)
		}
		return time.Duration(n) * day, nil
	})
}

// Switch is true or false.
func Switch(into *bool) Value {
	v := Parsed(into, "true or false", "", func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, fmt.Errorf("%.40q stands where true or false belongs", s)
		}
		return s == "true", nil
	})
	v.form = boolean
	return v
}

// Number is a whole number within bounds.
func Number[T ~int | ~int64](into *T, least, most T) Value {
	bounds := fmt.Sprintf("%d to %d", least, most)
	v := Parsed(into, "whole number", bounds, func(s string) (T, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || T(n) < least || T(n) > most {
			return 0, fmt.Errorf("%.40q: write a whole number, %s", s, bounds)
		}
		return T(n), nil
	})
	v.form = number
	return v
}

// Size is a number of bytes within bounds, written in MiB, GiB or TiB.
func Size(into *int64, least, most int64) Value {
	bounds := sizeText(least) + " to " + sizeText(most)
	return Parsed(into, "size", bounds, func(s string) (int64, error) {
		n, err := parseSize(s)
		if err == nil && (n < least || n > most) {
			err = fmt.Errorf("%.40q: write %s", s, bounds)
		}
		return n, err
	})
}

// units of sizes, the smallest first.
func units() []string { return []string{"MiB", "GiB", "TiB"} }

func parseSize(s string) (int64, error) {
	for i, unit := range units() {
		digits, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 20)
		if err != nil {
			break
		}
		return int64(n) << (20 + 10*i), nil
	}
	return 0, fmt.Errorf("%.40q is no size: write a whole number of MiB, GiB or TiB, such as 4GiB", s)
}

func sizeText(n int64) string {
	n >>= 20
	i := 0
	for ; n >= 1<<10 && n%(1<<10) == 0 && i < len(units())-1; i++ {
		n >>= 10
	}
	return strconv.FormatInt(n, 10) + units()[i]
}

// Choice is one of a few words.
func Choice[T ~string](into *T, words ...T) Value {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = string(w)
	}
	or := strings.Join(all, ", ")
	return Parsed(into, "one of "+or, "", func(s string) (T, error) {
		if !slices.Contains(all, s) {
			return "", fmt.Errorf("%.40q: write one of %s", s, or)
		}
		return T(s), nil
	})
}

// HostNames is a list of DNS names and IP addresses.
func HostNames(into *[]string) Value {
	return ListOf(into, "list of host names", func(s string) error {
		if !IsHostName(s) {
			return fmt.Errorf("%.80q is no host name and no IP address: write it without port and path, such as sun.example.org", s)
		}
		return nil
	})
}

// IsHostName says whether s is a DNS name or an IP address.
func IsHostName(s string) bool {
	if net.ParseIP(s) != nil {
		return true
	}
	const most = 253
	if s == "" || len(s) > most {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// Then is the value with a step behind its reading, such as a translation.
func (v Value) Then(step func() error) Value {
	set := v.set
	v.set = func(texts []string) error {
		if err := set(texts); err != nil {
			return err
		}
		return step()
	}
	return v
}
