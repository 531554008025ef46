package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/gateway/authn/local"
)

func newUser(d deps) *cobra.Command {
	group, r := d.group("user", "The accounts of the gateway's own")
	group.AddCommand(r.userAdd(), r.userList(), r.userPasswd(), r.userPeople(), r.userLink(), r.userUnlink(),
		r.userState("disable", "Lock an account out, from the next request on", true),
		r.userState("enable", "Let an account in again", false))
	return group
}

func (r *operator) userAdd() *cobra.Command {
	var body api.NewUser
	var fromStdin bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make an account; its password is read from standard input, or generated and printed once",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := newPassword(cmd, fromStdin)
			if err != nil {
				return err
			}
			body.Name, body.Password = args[0], password
			var u api.User
			if err := r.call(cmd.Context(), http.MethodPost, "/users", body, &u); err != nil {
				return err
			}
			return r.showPassword(cmd, "made", u.Name, password, fromStdin)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&body.Admin, "admin", false, "make it an administrator of the system")
	f.StringVar(&body.Email, "email", "", "e-mail address")
	f.StringVar(&body.RealName, "real-name", "", "name as people say it")
	f.BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (r *operator) userPasswd() *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{
		Use: "passwd NAME", Short: "Change a password; it is read from standard input, or generated and printed once",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := newPassword(cmd, fromStdin)
			if err != nil {
				return err
			}
			path := "/users/" + url.PathEscape(args[0]) + "/password"
			if err := r.call(cmd.Context(), http.MethodPut, path, api.NewPassword{Password: password}, nil); err != nil {
				return err
			}
			return r.showPassword(cmd, "changed", args[0], password, fromStdin)
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (r *operator) userList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the accounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var users []api.User
			if err := r.call(cmd.Context(), http.MethodGet, "/users", nil, &users); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, users)
			}
			rows := make([][]string, 0, len(users))
			for _, u := range users {
				rows = append(rows, []string{u.Name, yes(u.Admin), yes(u.Disabled), orDash(u.Email), stamp(u.Created)})
			}
			return table(cmd, []string{"NAME", "ADMIN", "DISABLED", "EMAIL", "CREATED"}, rows)
		},
	}
}

func (r *operator) userState(use, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var u api.User
			path := "/users/" + url.PathEscape(args[0]) + "/disabled"
			if err := r.call(cmd.Context(), http.MethodPut, path, api.UserState{Disabled: disabled}, &u); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, u)
			}
			return say(cmd, "%sd user %s", use, clean(u.Name))
		},
	}
}

// newPassword reads the first line of standard input, or makes a password. An
// argument is no place for one: other accounts can read it in the process list.
func newPassword(cmd *cobra.Command, fromStdin bool) (string, error) {
	if !fromStdin {
		return local.Generate(), nil
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("standard input has no password")
	}
	return line, nil
}

func (r *operator) showPassword(cmd *cobra.Command, done, name, password string, known bool) error {
	if r.json {
		out := map[string]string{"name": name}
		if !known {
			out["password"] = password
		}
		return printJSON(cmd, out)
	}
	if known {
		return say(cmd, "%s user %s", done, clean(name))
	}
	return say(cmd, "%s user %s\npassword: %s", done, clean(name), password)
}
