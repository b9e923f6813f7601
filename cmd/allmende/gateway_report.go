// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/gateway/commission"
	"github.com/allmende-energy/allmende/gateway/uplink"
)

// gatewayReportCmd is for the reports of commission.
type gatewayReportCmd struct {
	Verify gatewayReportVerifyCmd `cmd:"" help:"Check a report's signature: what was altered, and who signed it."`
}

type gatewayReportVerifyCmd struct {
	File      string `arg:"" type:"existingfile" help:"The report's .json file."`
	Authority string `type:"existingfile" placeholder:"FILE" help:"The community's authority, a certificate in PEM (authority/ca.crt in the folder of the community)."`
	Dir       string `type:"path" placeholder:"DIR" help:"Or a gateway's folder, whose authority is taken."`
	JSON      bool   `help:"Print as JSON."`
}

// Help is shown by allmende gateway report verify --help.
func (c *gatewayReportVerifyCmd) Help() string {
	return `Checks that a report is as the gateway signed it. With --authority, or --dir of a
gateway's folder, also that the gateway is one of that community; without, it
prints the authority's fingerprint, to be compared by hand.`
}

// Run verifies.
func (c *gatewayReportVerifyCmd) Run(out *output) error {
	file, err := readBounded(c.File, commission.MaxSigned)
	if err != nil {
		return err
	}
	trusted, err := c.trusted()
	if err != nil {
		return err
	}
	v, err := commission.Verify(file, trusted)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	r := v.Report
	if c.JSON {
		return out.JSON(map[string]any{
			"signed_by": v.Signer, "authority_sha256": v.Authority, "authority_is_trusted": v.Trusted, "report_sha256": v.Digest,
			"verdict": r.Verdict, "summary": r.Summary, "began": r.Began, "ended": r.Ended, "installer": r.Installer, "place": r.Place,
		})
	}
	out.Printf("The report is as it was signed.\n")
	for _, row := range [][2]string{
		{"verdict", string(r.Verdict) + " (" + r.Summary + ")"},
		{"gateway", r.Gateway + " of " + r.Community},
		{"made", r.Ended.UTC().Format(time.RFC3339)},
		{"report", "SHA-256 " + v.Digest},
		{"authority", "SHA-256 " + v.Authority},
	} {
		out.Printf("  %-10s %s\n", row[0], row[1])
	}
	if !v.Trusted {
		out.Remark("Whether this authority is your community's was not checked: name it with --authority or --dir.\n")
	}
	return nil
}

func (c *gatewayReportVerifyCmd) trusted() ([]*x509.Certificate, error) {
	var trusted []*x509.Certificate
	if c.Dir != "" {
		cfg, err := gateway.Load(c.Dir)
		if err != nil {
			return nil, err
		}
		id, err := uplink.LoadIdentity(cfg.Identity)
		if err != nil {
			return nil, err
		}
		trusted = id.Authorities()
	}
	if c.Authority == "" {
		return trusted, nil
	}
	b, err := readBounded(c.Authority, 1<<20)
	if err != nil {
		return nil, err
	}
	before := len(trusted)
	for {
		block, rest := pem.Decode(b)
		if block == nil {
			break
		}
		b = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Authority, err)
		}
		trusted = append(trusted, cert)
	}
	if len(trusted) == before {
		return nil, fmt.Errorf("%s holds no certificate in PEM", c.Authority)
	}
	return trusted, nil
}

// readBounded reads a file that must not be larger than most.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s is larger than %d KiB", path, most>>10)
	}
	return b, nil
}
