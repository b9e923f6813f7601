// SPDX-License-Identifier: AGPL-3.0-or-later

package logs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/allmende-energy/allmende/internal/logs"
	"github.com/allmende-energy/allmende/internal/settings"
)

const word = "hunter2horse"

// TestSecretsAreMasked, whatever they come as.
func TestSecretsAreMasked(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	withPassword := &url.URL{Scheme: "postgres", User: url.UserPassword("anna", word), Host: "db", Path: "/lane"}
	for name, attr := range map[string]slog.Attr{
		"the type":          slog.Any("database", settings.NewSecret(word)),
		"in a struct":       slog.Any("config", struct{ S settings.Secret }{settings.NewSecret(word)}),
		"password":          slog.String("password", word),
		"Token":             slog.String("enrolmentToken", word),
		"bytes":             slog.Any("body", []byte(word)),
		"a group":           slog.Group("login", "user", "anna", "password", word),
		"a header":          slog.Any("header", http.Header{"Authorization": {"Bearer " + word}}),
		"a cookie":          slog.Any("from", &http.Cookie{Name: "session", Value: word}),
		"a URL":             slog.Any("url", withPassword),
		"a URL as text":     slog.String("url", withPassword.String()),
		"in an error":       slog.Any("error", fmt.Errorf("dialling %s: %w", withPassword, errors.New("refused"))),
		"a bearer":          slog.Any("error", errors.New("sent Authorization: Bearer "+word)),
		"a query":           slog.String("link", "https://sun.example.org/setup?code="+word+"&x=1"),
		"a private key":     slog.Any("key", key),
		"a key in PEM":      slog.String("file", "-----BEGIN PRIVATE KEY-----\n"+word),
		"an age key":        slog.String("recipient", "AGE-SECRET-KEY-"+strings.ToUpper(word)),
		"a request":         slog.Any("request", &http.Request{Method: "GET", URL: &url.URL{Path: "/x", RawQuery: "code=" + word}}),
		"a key by its name": slog.Any("private_key", []string{word}),
	} {
		for _, format := range []logs.Format{logs.Text, logs.JSON} {
			var b strings.Builder
			log := logs.New(&b, logs.Config{Format: format})
			log.Info("something", attr)
			log.With(attr).Info("something else")
			if out := b.String(); strings.Contains(strings.ToLower(out), word) || strings.Contains(out, fmt.Sprintf("%x", d)) || strings.Count(out, "something") != 2 {
				t.Errorf("%s: %s", name, out)
			}
		}
	}
	var b strings.Builder
	logs.New(&b, logs.Config{Format: logs.JSON}).Info("all", "gateway", "gw-1", "n", 5, "took", time.Second, "error", errors.New("timeout"), "url", "tcp://10.0.0.5:502", "from", "a@b.example", "level", slog.LevelWarn)
	var got map[string]any
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got["gateway"] != "gw-1" || got["n"] != 5.0 || got["error"] != "timeout" || got["url"] != "tcp://10.0.0.5:502" || got["from"] != "a@b.example" {
		t.Errorf("more was masked than secrets: %v", got)
	}
}

func TestLevels(t *testing.T) {
	var b strings.Builder
	log := logs.New(&b, logs.Config{Level: slog.LevelWarn})
	log.Info("not this")
	log.Warn("but this")
	if strings.Contains(b.String(), "not") || !strings.Contains(b.String(), "but") {
		t.Error(b.String())
	}
}

// TestRepeatedMessages are left out and counted, each gateway's by themselves.
func TestRepeatedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		log := logs.New(&b, logs.Config{Level: slog.LevelDebug})
		for i := range 100 {
			log.Warn("device does not answer", "gateway", "one", "error", fmt.Errorf("attempt %d", i))
			log.Warn("device does not answer", "gateway", "two")
			log.With("gateway", "three").Warn("device does not answer")
			log.Debug("a request")
		}
		for name, want := range map[string]int{"gateway=one": 10, "gateway=two": 10, "gateway=three": 10, "a request": 100} {
			if n := strings.Count(b.String(), name); n != want {
				t.Errorf("%s is there %d times", name, n)
			}
		}
		time.Sleep(time.Minute)
		b.Reset()
		log.Warn("device does not answer", "gateway", "one")
		log.Warn("device does not answer", "gateway", "one")
		if strings.Count(b.String(), "left_out_before=90") != 1 || strings.Count(b.String(), "gateway=one") != 2 {
			t.Error(b.String())
		}
		b.Reset()
		for i := range 5_000 { // more things than are counted: none is lost
			log.Info("seen", "asset", fmt.Sprint(i))
		}
		if n := strings.Count(b.String(), "seen"); n != 5_000 {
			t.Errorf("%d", n)
		}
	})
}

func BenchmarkRepeated(b *testing.B) {
	log := logs.New(&strings.Builder{}, logs.Config{})
	err := errors.New("timeout")
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("device does not answer", "gateway", "one", "error", err)
	}
}
