// SPDX-License-Identifier: AGPL-3.0-or-later

package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/allmende-energy/allmende/gateway/uplink"
)

// template is the gateway.yaml that an enrolment writes.
const template = `# This gateway's configuration. Run it with: allmende gateway run --dir THIS-FOLDER
coordinator: %s      # host:port of the coordinator's listener for gateways

# The devices it speaks to. asset is the id in the community's register. Devices
# with the same url share one connection; each needs its own unit id.
devices:
  - {asset: roof-1, url: "tcp://192.168.1.50:502", unit: 1}
# - asset: battery-1
#   url: tcp://192.168.1.50:502
#   unit: 2
#   read_only: false         # true: never command it
#   limits:                  # this gateway's own, on top of the device's rating
#     max_charge_w: 5000
#     max_discharge_w: 5000
#     min_soc_percent: 5
#     max_soc_percent: 100

# What follows are the defaults.
# poll: 1s                   # time between two readings; divides 15m
# stale_after: 10s           # a value this old is no longer the present
# spool:                     # samples on their way to the coordinator
#   dir: spool
#   keep_days: 40            # how long they stay after it has them
#   max_mb: 512
# modbus:
#   timeout: 1s
#   connect_delay: 0s        # quiet after connecting (Huawei: 1500ms)
#   request_gap: 0s          # quiet between requests
# identity: identity         # folder of key and certificate; allmende gateway enrol writes them, and
#                            # the gateway renews them by itself, so it must be able to write there
`

// Enrolled is the result of an enrolment.
type Enrolled struct {
	uplink.Enrolled
	Config string // the configuration's path
	Wrote  bool   // it was not there before
}

// Enrol exchanges a one-time token for this gateway's identity, stores it under
// dir or where its gateway.yaml says, and writes a commented gateway.yaml where
// there is none.
func Enrol(ctx context.Context, token, dir string) (Enrolled, error) {
	t, err := uplink.ParseToken(token)
	if err != nil {
		return Enrolled{}, err
	}
	identity := filepath.Join(dir, identityDir)
	if cfg, err := Load(dir); err == nil {
		identity = cfg.Identity
	}
	e, err := uplink.Enrol(ctx, t, identity)
	if err != nil {
		return Enrolled{}, err
	}
	out := Enrolled{Enrolled: e, Config: filepath.Join(dir, ConfigFile)}
	f, err := os.OpenFile(out.Config, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("enrolled, but the configuration could not be written: %w", err)
	}
	_, err = fmt.Fprintf(f, template, e.Address)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return out, fmt.Errorf("enrolled, but the configuration could not be written: %w", err)
	}
	out.Wrote = true
	return out, nil
}
