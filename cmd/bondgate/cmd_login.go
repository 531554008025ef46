package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/cmd/bondgate/internal/credential"
)

func newLogin(d deps) *cobra.Command {
	var provider string
	var alone bool
	cmd := &cobra.Command{
		Use: "login REGISTRY", Short: "Log in at a registry with your organisation's account, for docker and the like",
		Long: "Log in at a registry with your organisation's account: open an address in any browser and confirm a code.\n" +
			"docker, podman, skopeo, buildah and crane ask " + credential.HelperProgram + " for the credential from then on,\n" +
			"which is bondgate itself under that name.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			registry := credential.Registry(args[0])
			file, err := credential.OpenFile(d.getenv("BONDGATE_CREDENTIALS_DIR"))
			if err != nil {
				return err
			}
			device := credential.Device{Client: credential.NewHTTPClient(), Out: cmd.ErrOrStderr()}
			entry, err := device.Login(cmd.Context(), registry, provider)
			if err != nil {
				return err
			}
			if err := file.Put(registry, entry); err != nil {
				return err
			}
			if err := say(cmd, "logged in at %s as %s", registry, clean(entry.Username)); err != nil || alone {
				return err
			}
			config, err := credential.UseHelper(d.getenv("DOCKER_CONFIG"), registry)
			if err != nil {
				return fmt.Errorf("you are logged in, but docker does not know: %w", err)
			}
			if _, err := exec.LookPath(credential.HelperProgram); err != nil {
				return say(cmd, "%s names the helper; docker finds it after:\n  ln -s \"$(command -v bondgate)\" /usr/local/bin/%s",
					config, credential.HelperProgram)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&provider, "provider", "", "the provider, where the registry has several")
	cmd.Flags().BoolVar(&alone, "no-docker", false, "leave docker's configuration as it is")
	return cmd
}

func newLogout(d deps) *cobra.Command {
	return &cobra.Command{
		Use: "logout REGISTRY", Short: "Forget the credential for a registry, here and at the provider",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := credential.OpenFile(d.getenv("BONDGATE_CREDENTIALS_DIR"))
			if err != nil {
				return err
			}
			registry := credential.Registry(args[0])
			err = credential.Logout(cmd.Context(), file, credential.NewHTTPClient(), registry)
			if errors.Is(err, credential.ErrNone) {
				return fmt.Errorf("nobody is logged in at %s", clean(registry))
			}
			if err != nil {
				return err
			}
			return say(cmd, "logged out at %s", clean(registry))
		},
	}
}

// helper is the program under its other name: it speaks docker's protocol for
// credential helpers, in which errors go to the standard output. One file under two
// names, so that a person installs one thing and the two never differ in version.
func helper(ctx context.Context, d deps, args []string) int {
	out := os.Stdout
	if len(args) != 1 {
		fmt.Fprintf(out, "usage: %s get|store|erase|list\n", credential.HelperProgram)
		return 1
	}
	file, err := credential.OpenFile(d.getenv("BONDGATE_CREDENTIALS_DIR"))
	if err == nil {
		err = credential.Helper{File: file, Client: credential.NewHTTPClient()}.Serve(ctx, args[0], os.Stdin, out)
	}
	if err != nil {
		fmt.Fprintln(out, cleanLines(err.Error()))
		return 1
	}
	return 0
}
