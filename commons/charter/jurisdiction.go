// SPDX-License-Identifier: AGPL-3.0-or-later

package charter

// Jurisdiction says which law a charter is written for. Validate refuses a
// charter that would exceed what the program knows of that law (see Scheme);
// what else the law asks is the community's to know.
type Jurisdiction struct {
	Scheme           string   `json:"scheme"`            // which rule, such as cz-edc; its limits are checked
	Country          string   `json:"country"`           // ISO 3166, such as AT or BE-VLG
	Source           string   `json:"source"`            // the law and its article, or the operator's document
	Date             string   `json:"date"`              // of the version that was read, such as 2024-07-01
	OperatorComputes string   `json:"operator_computes"` // what the grid operator or hub works out, which then binds
	CommunityDoes    string   `json:"community_does"`    // what is left to do here
	Limits           []string `json:"limits,omitempty"`  // what the law rules out or asks for, in words
}
