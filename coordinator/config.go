// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/charters"
	"github.com/allmende-energy/allmende/commons/charter"
	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/coordinator/authority"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/telemetry"
)

// Config is all that a coordinator needs to know before it starts.
type Config struct {
	config.Serve
	Roll  roll.Community
	Rules charter.Charter
	// Simulated: the world is not the real one; checkpoints say so.
	Simulated bool
	// Page serves what is not the API; nil: nothing is there.
	Page http.Handler
	// Build is shown by the counters.
	Build telemetry.Build

	unread   error            // why community.yaml can't be read, which is not needed after the founding
	maxPages int64            // bounds the database, for tests of a full one
	wall     func() time.Time // for tests of what takes months; nil: time.Now
}

// Load reads and checks the files of a community's folder; environment and
// flags go before allmende.yaml. The error lists everything that is wrong in all
// of them.
func Load(dir string, flags ...config.Flag) (Config, error) {
	serve, err := config.LoadServe(dir, flags...)
	if err != nil {
		return Config{}, err
	}
	cfg := Config{Serve: serve}
	var wrong []error
	if cfg.Roll, err = config.LoadCommunity(serve.Community); err != nil {
		if id, founded := foundedAs(serve); founded {
			cfg.Roll, cfg.unread = roll.Community{ID: id, Name: string(id)}, err
		} else {
			wrong = append(wrong, err)
		}
	}
	if cfg.Rules, err = loadCharter(serve.Charter); err != nil {
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return Config{}, errors.Join(wrong...)
	}
	return cfg, cfg.Validate()
}

// foundedAs is the id of the community whose register is in the database
// already, so that community.yaml is not needed any more.
func foundedAs(serve config.Serve) (roll.CommunityID, bool) {
	const within = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	database := serve.Database.Reveal()
	if _, err := os.Stat(database); err != nil && !store.IsServer(database) {
		return "", false
	}
	signer, err := store.LoadSigner(serve.LedgerKey)
	if err != nil {
		return "", false
	}
	r, err := store.OpenReader(ctx, database)
	if err != nil {
		return "", false
	}
	defer r.Close() //nolint:errcheck // it was only read
	revisions, err := r.Register(ctx)
	return roll.CommunityID(signer.Name()), err == nil && len(revisions) > 0
}

func loadCharter(path string) (charter.Charter, error) {
	f, err := os.Open(path)
	if err != nil {
		return charter.Charter{}, fmt.Errorf("the charter cannot be read: %w: run `allmende init` for a new folder, or name the file at charter in %s", err, config.ServeFile)
	}
	defer f.Close()                                               //nolint:errcheck // read only
	src, err := io.ReadAll(io.LimitReader(f, charters.MaxSize+1)) // Decode refuses what is larger
	if err != nil {
		return charter.Charter{}, fmt.Errorf("the charter cannot be read: %w", err)
	}
	c, err := charters.Decode(src)
	if problems, ok := errors.AsType[charters.Problems](err); ok {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = path + ": " + p.String()
		}
		return charter.Charter{}, errors.New(strings.Join(lines, "\n"))
	}
	if err != nil {
		return charter.Charter{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Validate checks what single files cannot know: that the charter speaks of
// members there are.
func (c *Config) Validate() error {
	if err := c.Rules.Validate(); err != nil {
		return err
	}
	if c.unread != nil {
		return nil //nolint:nilerr // the register in the database was checked when it was recorded
	}
	if err := c.Roll.Validate(); err != nil {
		return fmt.Errorf("community: %w", err)
	}
	if _, err := time.LoadLocation(c.Roll.Timezone); err != nil {
		return fmt.Errorf("community: timezone: %w", err)
	}
	if id := c.Rules.Residual.Member; id != "" {
		for _, m := range c.Roll.Members {
			if m.ID == id {
				return nil
			}
		}
		return fmt.Errorf("%s: residual.member: there is no member %q in %s: write the id of one, or add her there", c.Charter, id, c.Community)
	}
	return nil
}

// Prepare makes the authority and the ledger's key where there are none. It
// never replaces one. It returns the paths that it made.
func Prepare(cfg Config) (created []string, err error) {
	if _, err := os.Stat(cfg.LedgerKey); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(cfg.LedgerKey), 0o700); err != nil {
			return nil, fmt.Errorf("ledger key: %w", err)
		}
		if _, err := store.CreateKey(cfg.LedgerKey, cfg.Roll.ID, rand.Reader); err != nil {
			return nil, err
		}
		created = append(created, cfg.LedgerKey, cfg.LedgerKey+store.PublicSuffix)
	}
	if !authority.Exists(cfg.Authority) {
		if err := authority.Create(cfg.Authority, cfg.Roll.ID, time.Now()); err != nil {
			return created, err
		}
		created = append(created, cfg.Authority)
	}
	return created, nil
}
