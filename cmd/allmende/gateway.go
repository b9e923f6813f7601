// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/allmende-energy/allmende/commons/roll"
	"github.com/allmende-energy/allmende/gateway"
	"github.com/allmende-energy/allmende/internal/config"
	"github.com/allmende-energy/allmende/internal/worldtime"
)

// gatewayCmd is the edge: on the computer that speaks to the devices, except
// for token, which belongs to the coordinator's.
type gatewayCmd struct {
	Token gatewayTokenCmd `cmd:"" help:"At the coordinator: make a one-time token with which a gateway enrols."`
	Enrol gatewayEnrolCmd `cmd:"" help:"At the gateway: exchange a token for its certificate, and write a gateway.yaml."`
	Run   gatewayRunCmd   `cmd:"" help:"At the gateway: read the devices, spool, send, obey setpoints."`
}

type gatewayEnrolCmd struct {
	Token string `arg:"" help:"The whole line that \"allmende gateway token\" printed."`
	Dir   string `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder."`
}

// Run enrols.
func (c *gatewayEnrolCmd) Run(ctx context.Context, out *output) error {
	e, err := gateway.Enrol(ctx, c.Token, c.Dir)
	if err != nil {
		return err
	}
	out.Printf("Enrolled as gateway %s of %s; the certificate is good until %s.\n", e.Gateway, e.Community, e.NotAfter.UTC().Format(time.DateOnly))
	next := "Write your devices into " + e.Config + ", then run"
	if !e.Wrote {
		next = fmt.Sprintf("%s was there already: see that it says coordinator: %s, then run", e.Config, e.Address)
	}
	out.Printf("%s: allmende gateway run --dir %s\n", next, c.Dir)
	return nil
}

type gatewayRunCmd struct {
	Dir   string `default:"." type:"path" placeholder:"DIR" help:"The gateway's folder, with gateway.yaml in it."`
	World string `hidden:"" placeholder:"HOST:PORT" help:"Take part in a simulated world that another process keeps."`
}

// Run runs the gateway until ctx ends.
func (c *gatewayRunCmd) Run(ctx context.Context, out *output) error {
	cfg, err := gateway.Load(c.Dir)
	if err != nil {
		return err
	}
	cfg.Software = "allmende " + buildInformation().Version
	var clock worldtime.Clock = worldtime.NewReal()
	if c.World != "" {
		world, err := worldtime.Dial(ctx, c.World)
		if err != nil {
			return err
		}
		defer func() { _ = world.Close() }() // only questions of the time end
		clock = world
	}
	return gateway.Run(ctx, cfg, clock, slog.New(slog.NewTextHandler(out.Err, nil)))
}

type gatewayTokenCmd struct {
	Gateway string `arg:"" help:"The gateway's id in the community's register."`
	Dir     string `xor:"where" type:"existingdir" placeholder:"DIR" help:"The community's folder, to find its running coordinator by."`
	Server  string `xor:"where" placeholder:"URL" help:"The coordinator's page, such as http://127.0.0.1:8080. It answers on its own computer only."`
}

// Run asks the running coordinator: it alone writes to its database.
func (c *gatewayTokenCmd) Run(ctx context.Context, out *output) error {
	if err := roll.CheckID(c.Gateway); err != nil {
		return err
	}
	server, err := c.server()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	token, expires, err := requestToken(ctx, server, c.Gateway)
	if err != nil {
		return err
	}
	out.Printf("%s\n", token)
	out.Remark("It works once, until %s. On the gateway's computer run: allmende gateway enrol TOKEN\n", expires.Local().Format(time.DateTime))
	return nil
}

// server is the base of the coordinator's REST.
func (c *gatewayTokenCmd) server() (string, error) {
	switch {
	case c.Server != "":
		u, err := url.Parse(c.Server)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return "", fmt.Errorf("--server %q is no address: write it as http://%s", c.Server, config.DefaultHTTP)
		}
		return strings.TrimRight(c.Server, "/"), nil
	case c.Dir == "":
		return "http://" + config.DefaultHTTP, nil
	}
	cfg, err := config.LoadServe(c.Dir)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(cfg.HTTP.Listen)
	if err != nil || port == "0" {
		return "", fmt.Errorf("%s says %q, which tells no port to ask at: pass --server with what allmende serve printed", cfg.HTTP.Key, cfg.HTTP.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere, and gives tokens to its own computer only
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

const maxAnswer = 64 << 10

func requestToken(ctx context.Context, server, id string) (token string, expires time.Time, err error) {
	fail := func(err error) (string, time.Time, error) {
		return "", time.Time{}, fmt.Errorf("asking the coordinator at %s for a token: %w", server, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/v1/gateways/"+url.PathEscape(id)+"/enrolment-token", bytes.NewReader([]byte("{}")))
	if err != nil {
		return fail(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fail(fmt.Errorf("%w; is it running? Start it with: allmende serve", err))
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fail(err)
	}
	var body struct {
		Token         string `json:"token"`
		ExpiresUnixMS string `json:"expiresUnixMs"`
		Message       string `json:"message"`
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return fail(fmt.Errorf("%s, and no answer that can be read; is that Allmende's address?", answer.Status))
	}
	if answer.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("%s: %s", answer.Status, body.Message))
	}
	ms, err := strconv.ParseInt(body.ExpiresUnixMS, 10, 64)
	if body.Token == "" || err != nil {
		return fail(errors.New("its answer holds no token; is it of the same version?"))
	}
	return body.Token, time.UnixMilli(ms), nil
}
