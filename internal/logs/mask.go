// SPDX-License-Identifier: AGPL-3.0-or-later

package logs

import (
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// masked stands where a secret is not shown.
const masked = "(secret)"

// telling are parts of names that secrets have.
func telling() []string {
	return []string{"password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "credential", "private", "api_key", "apikey", "recovery"}
}

// mask takes secrets out of an attribute, by its name or by what its value is.
func mask(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if tells(a.Key) {
			return slog.String(a.Key, masked)
		}
		return slog.String(a.Key, Clean(a.Value.String()))
	case slog.KindAny:
		return slog.Attr{Key: a.Key, Value: maskAny(a.Key, a.Value.Any())}
	default: // numbers, times and truths hold no secret
		return a
	}
}

func tells(name string) bool {
	name = strings.ToLower(name)
	for _, part := range telling() {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func maskAny(name string, v any) slog.Value {
	if _, level := v.(slog.Level); tells(name) && !level {
		return slog.StringValue(masked)
	}
	switch x := v.(type) {
	case crypto.Signer, interface{ Seed() []byte }:
		return slog.StringValue(masked)
	case *url.URL:
		return slog.StringValue(Clean(x.Redacted()))
	case *http.Request:
		return slog.StringValue(x.Method + " " + Clean(x.URL.Path))
	case http.Header:
		return slog.StringValue(fmt.Sprintf("%d headers", len(x)))
	case *http.Cookie:
		return slog.StringValue(x.Name + "=" + masked)
	case error:
		return slog.StringValue(Clean(x.Error()))
	case fmt.Stringer:
		return slog.StringValue(Clean(x.String()))
	case []byte: // whatever it is, it is nothing for a log
		return slog.StringValue(fmt.Sprintf("%d bytes", len(x)))
	}
	return slog.AnyValue(v)
}

// What secrets look like inside of a text.
var (
	inURL    = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*):[^/\s@]+@`)
	inHeader = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`)
	inQuery  = regexp.MustCompile(`(?i)\b([a-z_-]*(?:password|passwd|secret|token|code)=)[^&\s"']+`)
	ageKey   = regexp.MustCompile(`AGE-SECRET-KEY-[A-Z0-9]+`)
)

// Clean takes out of a text what looks like a secret.
func Clean(s string) string {
	if strings.Contains(s, "PRIVATE KEY") {
		return masked
	}
	if strings.Contains(s, "@") {
		s = inURL.ReplaceAllString(s, "$1:"+masked+"@")
	}
	if strings.Contains(s, "=") {
		s = inQuery.ReplaceAllString(s, "$1"+masked)
	}
	if strings.Contains(s, "AGE-") {
		s = ageKey.ReplaceAllString(s, masked)
	}
	if strings.Contains(s, " ") { // a scheme and what belongs to it
		s = inHeader.ReplaceAllString(s, "$1 "+masked)
	}
	return s
}
