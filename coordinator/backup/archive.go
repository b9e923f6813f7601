// SPDX-License-Identifier: AGPL-3.0-or-later

package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
)

// ErrNoBackup is wrapped by every refusal of a file that is no backup of ours,
// or no longer what was written.
var ErrNoBackup = errors.New("this is no sound backup")

var gzipMagic = []byte{0x1f, 0x8b}

const ageMagic = "age-encryption.org/v1"

// writeArchive writes the manifest and the entries. The key it returns opens what
// was written; nil where it is not encrypted.
func writeArchive(ctx context.Context, w io.Writer, m Manifest, entries []entry, to Recipients, progress func(done, total int64)) (fileKey, error) {
	key, sealed, err := to.seal(w)
	if err != nil {
		return nil, err
	}
	// The database is the bulk of it, and a small computer has better things to do.
	packed, err := gzip.NewWriterLevel(sealed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(packed)
	head, err := m.encode()
	if err != nil {
		return nil, err
	}
	p := meterOf(m, progress)
	if err := p.write(ctx, t, m.Created, nameManifest, int64(len(head)), bytes.NewReader(head)); err != nil {
		return nil, err
	}
	for i, e := range entries {
		if err := e.pack(ctx, t, m, m.Files[i], p); err != nil {
			return nil, fmt.Errorf("packing %s: %w", e.name, err)
		}
	}
	return key, errors.Join(t.Close(), packed.Close(), sealed.Close())
}

func (e *entry) pack(ctx context.Context, t *tar.Writer, m Manifest, f File, p *meter) error {
	if e.content != nil {
		return p.write(ctx, t, m.Created, f.Name, f.Size, bytes.NewReader(e.content))
	}
	in, err := os.Open(e.path)
	if err != nil {
		return err
	}
	return errors.Join(p.write(ctx, t, m.Created, f.Name, f.Size, in), in.Close())
}

// meter counts bytes for a progress bar.
type meter struct {
	done, total int64
	progress    func(done, total int64)
}

func meterOf(m Manifest, progress func(done, total int64)) *meter {
	p := &meter{progress: progress}
	for _, f := range m.Files {
		p.total += f.Size
	}
	return p
}

func (p *meter) write(ctx context.Context, t *tar.Writer, at time.Time, name string, size int64, from io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: at, Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.CopyN(t, &watched{ctx, from, p}, size) // a file that has become shorter is an error
	return err
}

// watched is a reader that ends with its context and counts.
type watched struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one copy
	from io.Reader
	p    *meter
}

func (w *watched) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.from.Read(b)
	w.p.done += int64(n)
	w.p.progress(w.p.done, w.p.total)
	return n, err
}

// archive is a backup that is being read.
type archive struct {
	manifest Manifest
	packed   *gzip.Reader
	tar      *tar.Reader
}

// openArchive reads a backup's manifest. Identities are tried where it is encrypted.
func openArchive(r io.Reader, identities []age.Identity) (*archive, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	start, err := in.Peek(len(ageMagic))
	if err != nil && len(start) == 0 {
		return nil, fmt.Errorf("%w: it is empty, or cannot be read (%w)", ErrNoBackup, err)
	}
	plain := io.Reader(in)
	switch {
	case string(start) == ageMagic:
		if len(identities) == 0 {
			return nil, ErrEncrypted
		}
		if plain, err = age.Decrypt(in, identities...); err != nil {
			if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
				return nil, fmt.Errorf("%w: it was made for other keys than the one given", ErrEncrypted)
			}
			return nil, fmt.Errorf("%w: %w", ErrNoBackup, err)
		}
	case bytes.HasPrefix(start, gzipMagic):
	default:
		return nil, fmt.Errorf("%w: it begins as none does", ErrNoBackup)
	}
	a := &archive{}
	if a.packed, err = gzip.NewReader(plain); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	a.packed.Multistream(false)
	a.tar = tar.NewReader(a.packed)
	h, err := a.next()
	if err != nil {
		return nil, err
	}
	if h.Name != nameManifest || h.Size > maxManifest {
		return nil, fmt.Errorf("%w: its first entry is not a manifest", ErrNoBackup)
	}
	b, err := io.ReadAll(io.LimitReader(a.tar, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrNoBackup, err)
	}
	a.manifest, err = decodeManifest(b)
	return a, err
}

// next is the next entry, which must be a plain file.
func (a *archive) next() (*tar.Header, error) {
	h, err := a.tar.Next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it ends too early", ErrNoBackup)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBackup, err)
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 {
		return nil, fmt.Errorf("%w: %.80q is no plain file", ErrNoBackup, h.Name)
	}
	return h, nil
}

// each hands every entry behind the manifest to what open returns for it, in
// order, and checks size and hash. It reads no byte more than the manifest says.
func (a *archive) each(ctx context.Context, progress func(done, total int64), open func(File) (io.WriteCloser, error)) error {
	p := meterOf(a.manifest, progress)
	for _, f := range a.manifest.Files {
		h, err := a.next()
		if err != nil {
			return err
		}
		if h.Name != f.Name || h.Size != f.Size {
			return fmt.Errorf("%w: where the manifest says %.80q with %d bytes is %.80q with %d", ErrNoBackup, f.Name, f.Size, h.Name, h.Size)
		}
		out, err := open(f)
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.CopyN(io.MultiWriter(out, sum), &watched{ctx, a.tar, p}, f.Size)
		if err := errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("unpacking %s: %w", f.Name, broken(err))
		}
		if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
			return fmt.Errorf("%w: %s is not what was packed", ErrNoBackup, f.Name)
		}
	}
	if _, err := a.tar.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more in it than its manifest says", errors.Join(ErrNoBackup, err))
	}
	// Up to the end of the encrypted stream, which must be sound as well.
	const most = 1 << 20
	if n, err := io.Copy(io.Discard, io.LimitReader(a.packed, most)); err != nil || n == most {
		return fmt.Errorf("%w: something follows behind its end", errors.Join(ErrNoBackup, err))
	}
	return nil
}

// broken marks what the file itself is to blame for.
func broken(err error) error {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, gzip.ErrChecksum, gzip.ErrHeader} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrNoBackup, err)
		}
	}
	return err
}
