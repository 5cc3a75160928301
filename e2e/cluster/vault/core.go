// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	authkubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	secretskv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/builtin/credential/approle"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// open creates a Vault that keeps everything in memory, initializes and
// unseals it, and returns it with a root token: rootToken, or one that Vault
// chose if it is empty.
func open(ctx context.Context, rootToken, logLevel, address string) (*vault.Core, string, error) {
	logger := hclog.New(&hclog.LoggerOptions{Name: "vault", Level: hclog.LevelFromString(logLevel), Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, "", fmt.Errorf("opening storage: %w", err)
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		Logger:             logger,
		DisableMlock:       true,
		RedirectAddr:       address,
		LogicalBackends:    map[string]logical.Factory{"kv": secretskv.Factory, leased: vault.LeasedPassthroughBackendFactory},
		CredentialBackends: map[string]logical.Factory{"approle": approle.Factory, "kubernetes": authkubernetes.Factory},
		BuiltinRegistry:    builtins{},
	})
	if err != nil {
		return nil, "", fmt.Errorf("creating the core: %w", err)
	}

	seal := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	initialized, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: seal, RecoveryConfig: seal})
	if err != nil {
		return nil, "", fmt.Errorf("initializing: %w", err)
	}
	for _, share := range initialized.SecretShares {
		if _, err := core.Unseal(share); err != nil {
			return nil, "", fmt.Errorf("unsealing: %w", err)
		}
	}
	if core.Sealed() {
		return nil, "", errors.New("unsealing: still sealed with every share given")
	}
	if rootToken == "" {
		return core, initialized.RootToken, nil
	}
	token, err := chooseToken(ctx, core, initialized.RootToken, rootToken)
	return core, token, err
}

// chooseToken makes chosen a root token and revokes the one from initialization.
func chooseToken(ctx context.Context, core *vault.Core, initial, chosen string) (string, error) {
	create := &logical.Request{
		Operation: logical.UpdateOperation, ClientToken: initial, Path: "auth/token/create",
		Data: map[string]any{"id": chosen, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true},
	}
	response, err := core.HandleRequest(ctx, create)
	if err == nil {
		err = response.Error()
	}
	if err != nil {
		return "", fmt.Errorf("creating the chosen root token: %w", err)
	}
	revoke := &logical.Request{Operation: logical.UpdateOperation, ClientToken: initial, Path: "auth/token/revoke-self"}
	if _, err := core.HandleRequest(ctx, revoke); err != nil {
		return "", fmt.Errorf("revoking the first root token: %w", err)
	}
	return chosen, nil
}

func handler(core *vault.Core) http.Handler {
	// A nil ListenerConfig makes the handler panic on the first request.
	return vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}})
}

// mountKV mounts KV version 2 at kv/ and returns once it answers: a mount is
// upgraded to version 2 in the background and refuses requests meanwhile.
func mountKV(ctx context.Context, address, token string) error {
	config := api.DefaultConfig()
	config.Address = address
	client, err := api.NewClient(config)
	if err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	client.SetToken(token)
	if err := client.Sys().MountWithContext(ctx, "kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}); err != nil {
		return fmt.Errorf("mounting kv: %w", err)
	}
	return untilUpgraded(ctx, client)
}

func untilUpgraded(ctx context.Context, client *api.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		_, err := client.Logical().ReadWithContext(ctx, "kv/config")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for kv to be upgraded: %w", err)
		case <-poll.C:
		}
	}
}
