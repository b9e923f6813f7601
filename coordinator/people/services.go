// SPDX-License-Identifier: AGPL-3.0-or-later

package people

import allmendev1 "github.com/allmende-energy/allmende/proto/allmende/v1"

// Accounts is the AccountService.
func (p *People) Accounts() allmendev1.AccountServiceServer { return &Accounts{People: p} }

// Administration is the PeopleService.
func (p *People) Administration() allmendev1.PeopleServiceServer { return &Administration{People: p} }
