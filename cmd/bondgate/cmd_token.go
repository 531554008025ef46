package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
)

func newToken(d deps) *cobra.Command {
	group, r := d.group("token", "Personal access tokens: secrets for one purpose, in place of a password")
	var user string
	group.PersistentFlags().StringVar(&user, "user", "", "whose tokens; your own where you ask as a person")
	group.AddCommand(r.tokenCreate(&user), r.tokenList(&user), r.tokenRevoke(&user))
	return group
}

func tokensPath(user, id string) string {
	path := "/access-tokens"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	if user != "" {
		path += "?user=" + url.QueryEscape(user)
	}
	return path
}

func (r *operator) tokenCreate(user *string) *cobra.Command {
	var days int
	var scopes []string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token; its secret is printed once",
		Long: "Make a token; its secret is printed once. Without --scope it reaches as far as its owner.\n" +
			"A scope is PROJECT:RIGHTS or PROJECT/PATTERN:RIGHTS, such as payments:pull or payments/api*:pull,push.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := api.NewPersonalToken{Name: args[0], Days: days}
			for _, text := range scopes {
				s, err := tokenScope(text)
				if err != nil {
					return err
				}
				body.Scopes = append(body.Scopes, s)
			}
			var made api.PersonalTokenMade
			if err := r.call(cmd.Context(), http.MethodPost, tokensPath(*user, ""), body, &made); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, made)
			}
			return say(cmd, "made token %s (%d) of %s\nsecret: %s", clean(made.Name), made.ID, clean(made.Owner), clean(made.Secret))
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "how long it lives")
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "what it reaches; may be repeated")
	return cmd
}

func tokenScope(text string) (api.TokenScope, error) {
	where, rights, ok := strings.Cut(text, ":")
	if !ok || rights == "" || where == "" {
		return api.TokenScope{}, fmt.Errorf("a scope is PROJECT:RIGHTS or PROJECT/PATTERN:RIGHTS, not %q", text)
	}
	s := api.TokenScope{Project: where, Rights: strings.Split(rights, ",")}
	if project, rest, part := strings.Cut(where, "/"); part && rest != "" {
		s.Project, s.Repositories = project, where
	}
	return s, nil
}

func (r *operator) tokenList(user *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []api.PersonalToken
			if err := r.call(cmd.Context(), http.MethodGet, tokensPath(*user, ""), nil, &all); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, all)
			}
			rows := make([][]string, 0, len(all))
			for _, t := range all {
				rows = append(rows, []string{strconv.FormatInt(t.ID, 10), t.Name, tokenReach(t), stampOf(t.Expires), stampOf(t.LastUsed)})
			}
			return table(cmd, []string{"ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"}, rows)
		},
	}
}

func tokenReach(t api.PersonalToken) string {
	if t.Scopes == nil {
		return "everything of its owner"
	}
	words := make([]string, 0, len(t.Scopes))
	for _, s := range t.Scopes {
		where := s.Project
		if s.Repositories != "" {
			where = s.Repositories
		}
		words = append(words, where+":"+strings.Join(s.Rights, ","))
	}
	return strings.Join(words, " ")
}

func stampOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}

func stampUnix(seconds int64) string { return stamp(time.Unix(seconds, 0)) }

func (r *operator) tokenRevoke(user *string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a token, and all that was got with it, from the next request on", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.call(cmd.Context(), http.MethodDelete, tokensPath(*user, args[0]), nil, nil); err != nil {
				return err
			}
			return r.done(cmd, named{Name: args[0]}, "revoked token %s", clean(args[0]))
		},
	}
}
