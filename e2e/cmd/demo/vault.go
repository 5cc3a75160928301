// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
)

// provide puts a value into Vault and tells Lanyard how to read it. Its root token is what a demo can afford; docs/providers.md has better ways to log in.
func (t *tour) provide(ctx context.Context) error {
	if err := t.putInVault(ctx, values[inVault]); err != nil {
		return err
	}
	err := t.API.Call(ctx, "POST", "/api/v1/organizations/acme/providers", map[string]any{
		"name": "vault", "type": "vault", "config": map[string]any{"address": t.vault.Address, "auth": map[string]any{"method": "token"}},
		"credentials": map[string]any{"token": t.vault.RootToken}, "allowed_prefixes": []string{"kv/billing"},
	}, nil)
	if err != nil {
		return err
	}
	var test struct {
		OK      bool
		Message string
		Latency float64 `json:"latency_ms"`
	}
	if err := t.API.Call(ctx, "POST", "/api/v1/organizations/acme/providers/vault/test", nil, &test); err != nil {
		return err
	}
	if !test.OK {
		return fmt.Errorf("testing the provider: %s", test.Message)
	}
	t.say("provider acme/vault: tested, %.1f ms", test.Latency)
	return nil
}

func (t *tour) putInVault(ctx context.Context, value string) error {
	return t.vault.Write(ctx, "kv/data/billing/db", map[string]any{"data": map[string]any{"password": value}})
}

func (t *tour) changeInVault(ctx context.Context) error {
	if err := t.putInVault(ctx, changed); err != nil {
		return err
	}
	if _, err := t.Create(ctx, t.Pod(namespace, "billing-next", account, consumer)); err != nil {
		return err
	}
	if _, err := t.Running(ctx, namespace, "billing-next"); err != nil {
		return err
	}
	t.say("the running pod:")
	if err := t.expect(ctx, "billing", map[string]string{inVault: values[inVault]}); err != nil {
		return err
	}
	t.say("the next pod:")
	return t.expect(ctx, "billing-next", map[string]string{inVault: changed, "STRIPE_API_KEY": rotated})
}
