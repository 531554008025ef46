package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/authn/local"
	"github.com/bondgate/bondgate/policy"
	"github.com/bondgate/bondgate/storage/metadata"
)

// firstAdmin is the name of the administrator that a first start makes.
const firstAdmin = "admin"

// firstStart makes the first administrator where there is no account yet. A
// password that the environment gave is used and not printed; another one is
// made and shown once, with the line to log in with. There is no default.
func firstStart(ctx context.Context, store *metadata.Store, given, host string, out io.Writer, log *slog.Logger) error {
	users, err := store.Users(ctx, policy.DefaultWorkspace)
	if err != nil {
		return fmt.Errorf("look for the first administrator: %w", err)
	}
	if len(users) > 0 {
		if given != "" {
			log.Info("BONDGATE_ADMIN_PASSWORD is not used: there are accounts already")
		}
		return nil
	}
	password := given
	if password == "" {
		password = local.Generate()
	}
	if err := api.CheckPassword(password); err != nil {
		return fmt.Errorf("BONDGATE_ADMIN_PASSWORD: %w", err)
	}
	hash, err := local.Hash(password)
	if err != nil {
		return fmt.Errorf("hash the first administrator's password: %w", err)
	}
	_, err = store.CreateUser(ctx, metadata.Person{
		Workspace: policy.DefaultWorkspace, Name: firstAdmin, SystemAdmin: true,
	}, hash)
	if errors.Is(err, policy.ErrConflict) {
		return nil // another replica that starts at the same time was first
	}
	if err != nil {
		return fmt.Errorf("make the first administrator: %w", err)
	}
	log.Info("made the first administrator", "user", firstAdmin)
	if given != "" {
		return nil
	}
	_, err = fmt.Fprintf(out, "\nFirst start: the administrator's password is shown this once.\n\n"+
		"    user      %s\n    password  %s\n\n    docker login %s -u %s -p %s\n\n",
		firstAdmin, password, host, firstAdmin, password)
	return err
}
