// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestNoSecretIsShown: a coordinator that has a secret in every place is used,
// rightly and wrongly, while it logs at debug level. Afterwards none of them is
// in its log, its counters, or what `allmende config` shows.
func TestNoSecretIsShown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lane")
	if code, _, errs := command(t, false, "", "init", dir, "--yes"); code != 0 {
		t.Fatal(errs)
	}
	secrets := map[string]string{} // by what they are
	write := func(name, what, content string) string {
		secrets[what] = content
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// A server of time series that refuses whoever comes, and says with what.
	series := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"code":"unauthorized","message":"not with `+r.Header.Get("Authorization")+`"}`, http.StatusUnauthorized)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go series.Serve(l)
	t.Cleanup(func() { series.Close() })
	token := write("influx.token", "the token of the time series", "influxhunter2token")

	ctx, stop := context.WithCancel(t.Context())
	var out, errs locked
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{
			"serve", "--dir", dir, "--http", "127.0.0.1:0", "--set", "grpc.listen=127.0.0.1:0", "--set", "gateways.listen=127.0.0.1:0",
			"--set", "metrics.listen=127.0.0.1:0", "--set", "log.level=debug", "--set", "log.format=json",
			"--set", "series.store=influxdb", "--set", "series.influxdb.url=http://" + l.Addr().String(), "--set", "series.influxdb.bucket=lane",
			"--set", "series.influxdb.organisation=lane", "--set", "series.influxdb.token_file=" + token,
		}, &output{In: strings.NewReader(""), Out: &out, Err: &errs})
	}()
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Log(out.String(), errs.String())
		}
	})
	says := func(pattern string) string {
		t.Helper()
		for range 6000 { // patience, for a busy machine
			if m := regexp.MustCompile(pattern).FindStringSubmatch(out.String()); m != nil {
				return m[1]
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("%s was not said: %s %s", pattern, out.String(), errs.String())
		return ""
	}
	base, metrics := says(`(http://127[0-9.:]+)\n`), says(`metrics +(\S+)`)
	says(`gateways +(\S+)`)
	secrets["a password"], secrets["a wrong password"] = "correct horse battery hunter2", "wrong horse hunter2"
	secrets["a bearer"] = "alm_hunter2bearerhunter2bearer"
	use(t, dir, base, secrets)
	for _, name := range []string{"ledger.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(b))
		secrets[name] = fields[len(fields)-1]
	}
	for range 6000 { // until the server of time series has refused something
		if strings.Contains(errs.String(), `"what":"series"`) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_, counters := fetch(t, http.DefaultClient, metrics, nil)
	var shown []string
	for _, args := range [][]string{{"show", "--dir", dir}, {"show", "--dir", dir, "--json"}, {"explain", "--dir", dir}, {"check", "--dir", dir}} {
		_, o, e := command(t, false, "", append([]string{"config"}, args...)...)
		shown = append(shown, o, e)
	}
	stop()
	<-done // not with 0: the time series found no way to their server
	for _, want := range []string{`"level":"DEBUG"`, `"level":"WARN"`, `SignIn`, `Unauthenticated`} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("the log says too little to prove anything: no %s", want)
		}
	}
	for where, text := range map[string]string{"the log": errs.String(), "standard output": out.String(), "the counters": counters, "config": strings.Join(shown, "\n")} {
		for what, secret := range secrets {
			if len(secret) < 8 {
				t.Fatalf("%s is %q, too short to be looked for", what, secret)
			}
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s is in %s: …%s…", what, where, text[max(i-200, 0):min(i+len(secret)+50, len(text))])
			}
		}
	}
}

// use makes an account, signs in rightly and wrongly, enrols, and fails.
func use(t *testing.T, dir, base string, secrets map[string]string) {
	t.Helper()
	code, link, errs := command(t, false, "", "people", "setup-link", "--dir", dir)
	secret := regexp.MustCompile(`#?([A-Za-z0-9_-]{20,})\s*$`).FindStringSubmatch(strings.TrimSpace(link))
	if code != 0 || secret == nil {
		t.Fatalf("no setup link: %q %s", link, errs)
	}
	secrets["the setup link"] = secret[1]
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	post := func(path, body string) (int, string) {
		t.Helper()
		return fetch(t, client, base+path, strings.NewReader(body))
	}
	code, answer := post("/v1/link/accept", fmt.Sprintf(`{"secret":%q,"login":"anna","name":"Anna","password":%q}`, secret[1], secrets["a password"]))
	if code != http.StatusOK {
		t.Fatalf("accepting the link: %d %s", code, answer)
	}
	for i, recovery := range regexp.MustCompile(`"([a-z0-9]{4,}-[a-z0-9-]{4,})"`).FindAllStringSubmatch(answer, -1) {
		secrets[fmt.Sprintf("recovery code %d", i)] = recovery[1]
	}
	if len(secrets) < 10 {
		t.Errorf("only %d secrets; no recovery codes in %s", len(secrets), answer)
	}
	post("/v1/sign-in", fmt.Sprintf(`{"login":"anna","password":%q}`, secrets["a password"]))
	post("/v1/sign-in", fmt.Sprintf(`{"login":"anna","password":%q}`, secrets["a wrong password"]))
	post("/v1/sign-in", fmt.Sprintf(`{"login":%q,"password":%q`, secrets["a wrong password"], secrets["a password"])) // not JSON
	post("/v1/link/accept", fmt.Sprintf(`{"secret":%q,"login":"ben"}`, secret[1]))                                    // a second time
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/gateways?token="+secrets["a bearer"], nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secrets["a bearer"])
	if answer, err := http.DefaultClient.Do(request); err == nil {
		answer.Body.Close()
	}
	for _, cookie := range jar.Cookies(request.URL) {
		secrets["the cookie "+cookie.Name] = cookie.Value
	}
	code, enrolment, errs := command(t, false, "", "gateway", "token", "gw-lane", "--dir", dir)
	if code != 0 {
		t.Fatal(errs)
	}
	secrets["the enrolment token"] = strings.TrimSpace(enrolment)
	for range 2 { // the second time it is used up
		command(t, false, "", "gateway", "enrol", secrets["the enrolment token"], "--dir", t.TempDir())
	}
}

func fetch(t *testing.T, client *http.Client, url string, body io.Reader) (code int, answer string) {
	t.Helper()
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	return answerOf(t, client, request)
}

func answer(t *testing.T, request *http.Request) (code int, body string) {
	t.Helper()
	return answerOf(t, http.DefaultClient, request)
}

func answerOf(t *testing.T, client *http.Client, request *http.Request) (code int, body string) {
	t.Helper()
	r, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}
