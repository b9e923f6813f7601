// SPDX-License-Identifier: AGPL-3.0-or-later

package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/coordinator"
	"github.com/allmende-energy/allmende/coordinator/backup"
	coordinatordoctor "github.com/allmende-energy/allmende/coordinator/doctor"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/doctor"
	"github.com/allmende-energy/allmende/internal/freeport"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// community is a folder of which the coordinator has run once.
type community struct {
	t    *testing.T
	dir  string
	cfg  coordinator.Config
	http string
}

func found(t *testing.T) *community {
	t.Helper()
	c := &community{t: t, dir: filepath.Join(t.TempDir(), "lane"), http: freeport.Address(t)}
	c.write("community.yaml", string(config.ExampleCommunity("lane", "Sunny Lane", "Europe/Vienna")))
	c.write("charter.yaml", string(charters.Templates()[0].YAML))
	c.configure("")
	if _, err := coordinator.Prepare(c.cfg); err != nil {
		t.Fatal(err)
	}
	stop := c.run()
	defer stop()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(5 * time.Millisecond) { // until the charter's leaf is there
		db, err := store.OpenReader(t.Context(), c.cfg.LedgerFile())
		if err != nil {
			t.Fatal(err)
		}
		size, err := db.Size(t.Context())
		_ = db.Close()
		switch {
		case err != nil:
			t.Fatal(err)
		case size > 0:
			return c
		case time.Now().After(deadline):
			t.Fatal("the ledger stays empty")
		}
	}
}

// clone is another folder with the same in it, for a test that spoils it.
func (c *community) clone(t *testing.T) *community {
	t.Helper()
	d := &community{t: t, dir: filepath.Join(t.TempDir(), "lane"), http: freeport.Address(t)}
	if err := os.CopyFS(d.dir, os.DirFS(c.dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	d.configure("")
	return d
}

func (c *community) write(name, content string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// configure writes allmende.yaml.
func (c *community) configure(more string) {
	c.t.Helper()
	c.write(config.ServeFile, "http: {listen: '"+c.http+"'}\ngrpc: {listen: '127.0.0.1:0'}\ngateways: {listen: '127.0.0.1:0'}\n"+more)
	var err error
	if c.cfg, err = coordinator.Load(c.dir); err != nil {
		c.t.Fatal(err)
	}
}

// run starts the coordinator.
func (c *community) run() (stop func()) {
	c.t.Helper()
	running, err := coordinator.Start(c.t.Context(), c.cfg, worldtime.NewReal(), slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := running.Stop(); err != nil {
			c.t.Error(err)
		}
	}
}

// looked are the findings of one check.
func (c *community) looked(o coordinatordoctor.Options, check string) (all []doctor.Finding) {
	c.t.Helper()
	o.Dir = c.dir
	r := doctor.Run(c.t.Context(), coordinatordoctor.Checks(c.t.Context(), o), nil)
	for _, f := range r.Findings {
		if f.Check == check {
			all = append(all, f)
		}
		if f.State != doctor.OK && f.Mend == "" {
			c.t.Errorf("%s: %q, and it is not said how to mend it", f.Check, f.Seen)
		}
	}
	return all
}

// says fails unless a check comes to a state with words in it.
func (c *community) says(o coordinatordoctor.Options, check string, state doctor.State, words string) {
	c.t.Helper()
	all := c.looked(o, check)
	if !slices.ContainsFunc(all, func(f doctor.Finding) bool { return f.State == state && strings.Contains(f.Seen+f.Mend, words) }) {
		c.t.Errorf("%s says %+v; expected %s with %q", check, all, state, words)
	}
}

func TestAllIsWell(t *testing.T) {
	c := found(t)
	for _, full := range []bool{false, true} {
		o := coordinatordoctor.Options{Full: full}
		c.says(o, "coordinator", doctor.Warn, "does not run")
		c.says(o, "ports", doctor.OK, "is free")
		stop := c.run()
		for _, f := range doctor.Run(t.Context(), coordinatordoctor.Checks(t.Context(), coordinatordoctor.Options{Dir: c.dir, Full: full}), nil).Findings {
			if f.State != doctor.OK && !slices.Contains([]string{"backup", "clock", "disk space", "memory"}, f.Check) { // the last three are of this computer
				t.Errorf("%+v", f)
			}
		}
		c.says(o, "coordinator", doctor.OK, "runs")
		c.says(o, "ports", doctor.OK, "answers")
		c.says(o, "configuration", doctor.OK, "Sunny Lane")
		c.says(o, "database", doctor.OK, "sound")
		c.says(o, "ledger", doctor.OK, "leaves")
		stop()
	}
}

func TestWhatIsWrongIsFound(t *testing.T) {
	template := found(t)
	for name, spoil := range map[string]func(t *testing.T, c *community, o *coordinatordoctor.Options) (check string, state doctor.State, words string){
		"a configuration that cannot be read": func(_ *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			c.write(config.ServeFile, "htpp: {listen: x}\n")
			return "configuration", doctor.Fail, "htpp"
		},
		"a key that others can read": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			if err := os.Chmod(c.cfg.LedgerKey, 0o644); err != nil {
				t.Fatal(err)
			}
			return "permissions", doctor.Fail, "chmod 600"
		},
		"a data folder that others can enter": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			if err := os.Chmod(c.cfg.Data, 0o755); err != nil {
				t.Fatal(err)
			}
			return "permissions", doctor.Fail, "chmod 700"
		},
		"a port that somebody has": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			l, err := net.Listen("tcp", c.http)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "ports", doctor.Fail, "http.listen"
		},
		"a database that is rotten": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			b, err := os.ReadFile(c.cfg.LedgerFile())
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(b); i += 4096 {
				copy(b[i:], "rotten")
			}
			if err := os.WriteFile(c.cfg.LedgerFile(), b, 0o600); err != nil {
				t.Fatal(err)
			}
			return "database", doctor.Fail, "damaged"
		},
		"a leaf that was changed": func(t *testing.T, c *community, o *coordinatordoctor.Options) (string, doctor.State, string) {
			o.Full = true
			c.change(t, `"decided_by":"founding"`, `"decided_by":"the king"`)
			return "ledger", doctor.Fail, "does not hold"
		},
		"a head that is not signed": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			key := c.cfg.LedgerKey
			if err := os.Remove(key + store.PublicSuffix); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(key); err != nil {
				t.Fatal(err)
			}
			if _, err := store.CreateKey(key, "lane", rand.Reader); err != nil {
				t.Fatal(err)
			}
			return "ledger", doctor.Fail, "checkpoint"
		},
		"no key": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			if err := os.Remove(c.cfg.LedgerKey); err != nil {
				t.Fatal(err)
			}
			return "ledger", doctor.Fail, "backup"
		},
		"a clock that stands before the ledger": func(_ *testing.T, _ *community, o *coordinatordoctor.Options) (string, doctor.State, string) {
			o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
			return "clock", doctor.Fail, "before the latest time"
		},
		"a clock that stands in another century": func(_ *testing.T, _ *community, o *coordinatordoctor.Options) (string, doctor.State, string) {
			o.Now = func() time.Time { return time.Unix(0, 0) }
			return "clock", doctor.Fail, "1970"
		},
		"an authority that ends": func(_ *testing.T, _ *community, o *coordinatordoctor.Options) (string, doctor.State, string) {
			o.Now = func() time.Time { return time.Now().AddDate(50, 0, 0) }
			return "certificates", doctor.Fail, "ended"
		},
		"a certificate of the page that ends soon": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			cert, key := certificate(t, 5*24*time.Hour)
			c.configure("")
			c.write(config.ServeFile, "http: {listen: '"+c.http+"', tls: {cert: "+cert+", key: "+key+"}}\ngrpc: {listen: '127.0.0.1:0'}\ngateways: {listen: '127.0.0.1:0'}\n")
			return "certificates", doctor.Warn, "http.listen"
		},
		"an old backup": func(t *testing.T, c *community, o *coordinatordoctor.Options) (string, doctor.State, string) {
			remembered(t, c, time.Now().Add(-20*24*time.Hour))
			return "backup", doctor.Warn, "20 days ago"
		},
		"a backup that is too old": func(t *testing.T, c *community, o *coordinatordoctor.Options) (string, doctor.State, string) {
			remembered(t, c, time.Now().Add(-50*24*time.Hour))
			return "backup", doctor.Fail, "40 days"
		},
		"no InfluxDB": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			c.configure("series: {store: influxdb, influxdb: {url: 'http://" + freeport.Address(t) + "', bucket: b}}\n")
			return "time series", doctor.Fail, "does not answer"
		},
		"no PostgreSQL": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			c.configure("database: 'postgres://nobody@" + freeport.Address(t) + "/none?sslmode=disable'\n")
			return "database", doctor.Fail, "PostgreSQL"
		},
		"a newer schema": func(t *testing.T, c *community, _ *coordinatordoctor.Options) (string, doctor.State, string) {
			c.exec(t, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
			return "database", doctor.Fail, "newer"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := template.clone(t)
			var o coordinatordoctor.Options
			check, state, words := spoil(t, c, &o)
			c.t = t
			c.says(o, check, state, words)
		})
	}
}

func TestInfluxDBAnswers(t *testing.T) {
	c := found(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	c.configure("series: {store: influxdb, influxdb: {url: '" + server.URL + "', bucket: b}}\n")
	c.says(coordinatordoctor.Options{}, "time series", doctor.OK, "answers")
}

func TestGatewaysAsTheCoordinatorSeesThem(t *testing.T) {
	c := found(t)
	defer c.run()()
	now := time.Now()
	for _, x := range []struct {
		g     coordinatordoctor.Gateway
		state doctor.State
		words string
	}{
		{coordinatordoctor.Gateway{ID: "east", Connected: true, Enrolled: true, DevicesOnline: 3, DevicesTotal: 4, CertificateEnds: now.Add(time.Hour)}, doctor.OK, "3 of 4"},
		{coordinatordoctor.Gateway{ID: "east"}, doctor.Warn, "not enrolled"},
		{coordinatordoctor.Gateway{ID: "east", Enrolled: true, LastSeen: now}, doctor.Fail, "away since"},
		{coordinatordoctor.Gateway{ID: "east", Connected: true, ClockKnown: true, ClockOffset: -time.Minute}, doctor.Fail, "clock"},
		{coordinatordoctor.Gateway{ID: "east", Connected: true, SpoolPending: 1 << 20}, doctor.Warn, "samples"},
		{coordinatordoctor.Gateway{ID: "east", Connected: true, Problem: "full disk"}, doctor.Warn, "full disk"},
		{coordinatordoctor.Gateway{ID: "east", Connected: true, CertificateEnds: now.Add(-time.Hour)}, doctor.Warn, "ended"},
	} {
		o := coordinatordoctor.Options{Gateways: func(context.Context) ([]coordinatordoctor.Gateway, error) {
			return []coordinatordoctor.Gateway{x.g}, nil
		}}
		c.says(o, "gateways", x.state, x.words)
	}
}

// change replaces bytes of the database behind everybody's back.
func (c *community) change(t *testing.T, from, to string) {
	t.Helper()
	c.exec(t, `UPDATE leaf SET body = CAST(REPLACE(CAST(body AS TEXT), '`+from+`', '`+to+`') AS BLOB)`)
}

func remembered(t *testing.T, c *community, at time.Time) {
	t.Helper()
	b, err := json.Marshal(backup.Last{At: at, File: "/media/stick/b", Encrypted: true})
	if err != nil {
		t.Fatal(err)
	}
	c.write(filepath.Join("data", backup.LastFile), string(b))
}

func certificate(t *testing.T, life time.Duration) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
