// SPDX-License-Identifier: AGPL-3.0-or-later

package access

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// objectOf says what a request is about: its fields named id or …_id. Nothing
// else of a request goes into the audit log, as it may hold a secret.
func objectOf(req any) string {
	m, ok := req.(proto.Message)
	if !ok {
		return ""
	}
	var parts []string
	message := m.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.Name())
		if f.Kind() != protoreflect.StringKind || f.IsList() || name != "id" && !strings.HasSuffix(name, "_id") {
			continue
		}
		if v := message.Get(f).String(); v != "" {
			parts = append(parts, strings.TrimSuffix(strings.TrimSuffix(name, "id"), "_")+" "+clip(v))
		}
	}
	return strings.TrimSpace(strings.Join(parts, ", "))
}
