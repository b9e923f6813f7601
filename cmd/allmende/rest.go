// SPDX-License-Identifier: AGPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// rest calls a coordinator's services over REST, by the rules that stand beside
// each method in the contract: the address that people know is the page's, and
// it is the one that a web server with a certificate stands in front of.
type rest struct {
	server string
	token  string
	client *http.Client
}

// Bounds of a call.
const (
	callWithin = 60 * time.Second
	maxAnswer  = 16 << 20
)

func newREST(server, token string) *rest {
	return &rest{server, token, &http.Client{
		Timeout: callWithin,
		// A token goes where it was told to go, and nowhere else.
		CheckRedirect: func(to *http.Request, _ []*http.Request) error {
			return fmt.Errorf("the server sends on to %s: give that address with --server if it is the right one", to.URL.Redacted())
		},
	}}
}

// NewStream implements [grpc.ClientConnInterface]. Commands ask for no streams.
func (r *rest) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "streams go over gRPC: use --dir on the coordinator's own computer")
}

// Invoke implements [grpc.ClientConnInterface].
func (r *rest) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	in, out := args.(proto.Message), reply.(proto.Message)
	verb, path, body, err := restCall(method, in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, verb, r.server+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking %s: %w", r.server, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	answer, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("asking the coordinator: %w; does it run there, and is the address right?", err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil || len(b) > maxAnswer {
		return fmt.Errorf("asking %s: its answer is too long or broke off: %w", r.server, err)
	}
	if answer.StatusCode != http.StatusOK {
		return restRefusal(answer, b)
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s answers, but not as a coordinator does: is --server the address of its page?", r.server)
	}
	return nil
}

// restRefusal reads the error that grpc-gateway writes.
func restRefusal(answer *http.Response, b []byte) error {
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(b, &said); err != nil || said.Message == "" {
		text := strings.TrimSpace(string(b[:min(len(b), 300)]))
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		said.Message += "; give an access token with --token or ALLMENDE_TOKEN"
	}
	return refusal(status.Error(codes.Code(said.Code), said.Message))
}

// restCall turns a method and its request into an HTTP call, by the method's
// google.api.http rule.
func restCall(method string, in proto.Message) (verb, path string, body []byte, err error) {
	rule, err := httpRule(method)
	if err != nil {
		return "", "", nil, err
	}
	verb, template := verbOf(rule)
	used := map[string]bool{}
	path, err = fillPath(template, in.ProtoReflect(), used)
	if err != nil {
		return "", "", nil, fmt.Errorf("%s: %w", method, err)
	}
	if rule.GetBody() == "*" {
		body, err = protojson.MarshalOptions{}.Marshal(in)
		return verb, path, body, err
	}
	query := url.Values{}
	in.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !used[string(f.Name())] && f.Message() == nil && !f.IsList() {
			query.Set(f.JSONName(), queryText(f, v))
		}
		return true
	})
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return verb, path, nil, nil
}

func httpRule(method string) (*annotations.HttpRule, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	rule, ok := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || rule == nil {
		return nil, status.Errorf(codes.Unimplemented, "%s is not served over REST: use --dir on the coordinator's own computer", method)
	}
	return rule, nil
}

func verbOf(rule *annotations.HttpRule) (verb, template string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	}
	return http.MethodGet, ""
}

// fillPath puts fields into the {names} of a template.
func fillPath(template string, m protoreflect.Message, used map[string]bool) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if !closed || f == nil || f.Message() != nil || f.IsList() {
			return "", fmt.Errorf("its REST path %q is of a form that this program does not know", template)
		}
		text := queryText(f, m.Get(f))
		if text == "" {
			return "", fmt.Errorf("%s is missing", name)
		}
		used[name] = true
		out.WriteString(url.PathEscape(text))
		template = after
	}
}

func queryText(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if f.Kind() == protoreflect.EnumKind {
		if name := f.Enum().Values().ByNumber(v.Enum()); name != nil {
			return string(name.Name())
		}
	}
	return v.String()
}
