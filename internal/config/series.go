// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// SeriesStore is where the time series go.
type SeriesStore string

// Stores of time series.
const (
	SeriesEmbedded SeriesStore = "embedded"
	SeriesInfluxDB SeriesStore = "influxdb"
	SeriesNone     SeriesStore = "none"
)

// Series is how the coordinator keeps what it measures over time.
type Series struct {
	Store    SeriesStore
	File     string // embedded
	MaxBytes int64  // embedded: the file's cap
	InfluxDB InfluxDB
}

// InfluxDB is a server of the time series.
type InfluxDB struct {
	URL          string
	Organisation string // 2.x only
	Bucket       string // 1.8: database/retention
	TokenFile    string // empty: no token
}

// The fields of series in allmende.yaml.
type (
	seriesFile struct {
		Store    SeriesStore  `yaml:"store"`
		Embedded embeddedFile `yaml:"embedded"`
		InfluxDB influxFile   `yaml:"influxdb"`
	}
	embeddedFile struct {
		MaxSize byteSize `yaml:"max_size"`
	}
	influxFile struct {
		URL          string `yaml:"url"`
		Organisation string `yaml:"organisation"`
		Bucket       string `yaml:"bucket"`
		TokenFile    string `yaml:"token_file"`
	}
)

// DefaultSeriesSize is the cap of the embedded time series: room for a thousand
// devices that report each second, for about five years.
const DefaultSeriesSize = 4 << 30

// minSeriesSize is the least cap with which the embedded store is of use.
const minSeriesSize = 16 << 20

func defaultSeries() seriesFile {
	return seriesFile{Store: SeriesEmbedded, Embedded: embeddedFile{DefaultSeriesSize}}
}

func (f *seriesFile) check(addf func(field, format string, args ...any)) {
	if s := f.Embedded.MaxSize; s < minSeriesSize {
		addf("series.embedded.max_size", "%s is too little to be of use: write at least %s", s, byteSize(minSeriesSize))
	}
	switch f.Store {
	case SeriesEmbedded, SeriesNone:
		return
	case SeriesInfluxDB:
	default:
		addf("series.store", "%.40q is no store: write embedded, influxdb or none", f.Store)
		return
	}
	u, err := url.Parse(f.InfluxDB.URL)
	switch {
	case f.InfluxDB.URL == "":
		addf("series.influxdb.url", "missing: write the server's address, such as http://127.0.0.1:8086")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		addf("series.influxdb.url", "%.80q is no address: write it with http:// or https://, such as http://127.0.0.1:8086", f.InfluxDB.URL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		addf("series.influxdb.url", "write host, port and path alone; what proves who you are belongs into the file that token_file names")
	}
	if f.InfluxDB.Bucket == "" {
		addf("series.influxdb.bucket", "missing: write the bucket's name; for InfluxDB 1.8 database/retention, such as allmende/autogen")
	}
}

func (f *seriesFile) series(data string, in func(string) string) Series {
	s := Series{
		Store: f.Store, File: data, MaxBytes: int64(f.Embedded.MaxSize),
		InfluxDB: InfluxDB{URL: f.InfluxDB.URL, Organisation: f.InfluxDB.Organisation, Bucket: f.InfluxDB.Bucket},
	}
	if f.InfluxDB.TokenFile != "" {
		s.InfluxDB.TokenFile = in(f.InfluxDB.TokenFile)
	}
	return s
}

// byteSize is a number of bytes, written in MiB or GiB.
type byteSize int64

// UnmarshalText reads it.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for _, u := range []struct {
		name string
		unit int64
	}{{"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}} {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 20)
		if err != nil {
			break
		}
		*b = byteSize(int64(n) * u.unit)
		return nil
	}
	return fmt.Errorf("%.40q is no size: write a whole number of MiB, GiB or TiB, such as 4GiB", s)
}

// String prints it as it is written.
func (b byteSize) String() string {
	if b >= 1<<30 && b%(1<<30) == 0 {
		return strconv.FormatInt(int64(b>>30), 10) + "GiB"
	}
	return strconv.FormatInt(int64(b>>20), 10) + "MiB"
}
