// SPDX-License-Identifier: AGPL-3.0-or-later

package config

import "github.com/allmende-energy/allmende/internal/settings"

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

// Bounds of the embedded time series.
const (
	minSeriesSize = 16 << 20 // the least with which it is of use
	maxSeriesSize = 1 << 50
)

func seriesPart(s *Serve) settings.Part {
	f := &s.Series
	return settings.Part{
		Title: "Time series",
		Intro: "The memory of what was measured, for pages and Grafana; see docs/series.md. Nothing in it is ever booked.",
		Keys: []settings.Key{
			{
				Name: "series.store", Value: settings.Choice(&f.Store, SeriesEmbedded, SeriesInfluxDB, SeriesNone), Default: string(SeriesEmbedded),
				Help: "Where measured values are kept over time. embedded keeps them beside the ledger, in a file of its own in the data folder; influxdb sends them to a server; none keeps nothing, and the pages show no history.",
			},
			{
				Name: "series.embedded.max_size", Value: settings.Size(&f.MaxBytes, minSeriesSize, maxSeriesSize), Default: "4GiB", Example: "500MiB",
				Help: "The most that the embedded file takes. Beyond it the finest and oldest values go first. The default has room for a thousand devices that report each second, for about five years.",
			},
			{
				Name: "series.influxdb.url", Value: settings.URL(&f.InfluxDB.URL, "http", "https"), Example: "http://127.0.0.1:8086",
				Help: "The address of the InfluxDB server.",
			},
			{
				Name: "series.influxdb.organisation", Value: settings.Text(&f.InfluxDB.Organisation), Example: "lane",
				Help: "The organisation in InfluxDB 2. InfluxDB 1.8 has none.",
			},
			{
				Name: "series.influxdb.bucket", Value: settings.Text(&f.InfluxDB.Bucket), Example: "allmende",
				Help: "The bucket that values go to. For InfluxDB 1.8 write database/retention, such as allmende/autogen.",
			},
			{
				Name: "series.influxdb.token_file", Value: settings.Path(&f.InfluxDB.TokenFile, s.Dir), Example: "influxdb.token",
				Help: "A file that holds the token and nothing else. For InfluxDB 1.8 it holds user:password. Without it no token is sent.",
			},
		},
		Check: func(report settings.Report) { f.check(report) },
	}
}

func (s *Series) check(report settings.Report) {
	if s.Store != SeriesInfluxDB {
		return
	}
	if s.InfluxDB.URL == "" {
		report("series.influxdb.url", "missing: write the server's address, such as http://127.0.0.1:8086")
	}
	if s.InfluxDB.Bucket == "" {
		report("series.influxdb.bucket", "missing: write the bucket's name; for InfluxDB 1.8 database/retention, such as allmende/autogen")
	}
}
