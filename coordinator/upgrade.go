// SPDX-License-Identifier: AGPL-3.0-or-later

package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/allmende-energy/allmende/coordinator/backup"
	"github.com/allmende-energy/allmende/coordinator/store"
	"github.com/allmende-energy/allmende/internal/config"
)

// beforeUpgrade keeps the database as it is before its schema is changed, in a
// SQLite file that the older program opens. Where that cannot be done, nothing
// is changed.
func beforeUpgrade(cfg config.Serve, log *slog.Logger) func(ctx context.Context, from, to int64) error {
	return func(ctx context.Context, from, to int64) error {
		dir := filepath.Join(cfg.Data, backup.SchemaFolder)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("keeping the database as it is before its upgrade: %w", err)
		}
		path, err := freeName(filepath.Join(dir, fmt.Sprintf("before-schema-%d", to)))
		if err != nil {
			return err
		}
		log.Info("the database has an older schema; it is copied, then upgraded", "from", from, "to", to, "copy", path)
		if err := store.Copy(ctx, cfg.Database.Reveal(), path, nil); err != nil {
			return fmt.Errorf("the schema has to be upgraded from %d to %d, but the database could not be copied before, and stays as it is: %w", from, to, err)
		}
		if err := store.CheckFile(ctx, path); err != nil {
			return errors.Join(fmt.Errorf("the schema has to be upgraded from %d to %d, but the database is not sound, and stays as it is: %w", from, to, err), os.Remove(path))
		}
		log.Info("the database was copied", "copy", path)
		return nil
	}
}

// freeName is a file that is not there yet: an upgrade that was broken off left
// its copy, which is the better one.
func freeName(stem string) (string, error) {
	const most = 100
	for n := range most {
		path := stem + ".db"
		if n > 0 {
			path = fmt.Sprintf("%s-%d.db", stem, n+1)
		}
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s.db is there %d times: move these copies away", stem, most)
}
