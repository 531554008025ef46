package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/bondgate/bondgate/gateway/api"
	"github.com/bondgate/bondgate/policy"
)

func (r *operator) policyExplain() *cobra.Command {
	var body api.WhatIf
	var action string
	cmd := &cobra.Command{
		Use:   "explain ID | explain --action ACTION [--image REF] [--as USER]",
		Short: "Say why something was decided, or would be: the rule, its line, the facts, what would change it",
		Long: `With the id of a decision, as a denial names it: what was recorded, judged by the bundle in force.
With --action: what would be decided now if somebody did it. Nothing is done, and nobody gets a token or a right.`,
		Example: `  bondgate policy explain 01M7YQR3T9BM7D824PDZN6ECXV
  bondgate policy explain --image team/debian:12 --as alice --action manifest.pull`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (action != "") {
				return fmt.Errorf("%w: name a decision, or an action with --action", policy.ErrInvalid)
			}
			var raw json.RawMessage
			var err error
			if len(args) == 1 {
				err = r.call(cmd.Context(), http.MethodGet, "/decisions/"+url.PathEscape(args[0])+"/explanation", nil, &raw)
			} else {
				body.Action = policy.Action(action)
				err = r.call(cmd.Context(), http.MethodPost, "/policy/explain", body, &raw)
			}
			if err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd, raw)
			}
			var e api.ExplainedDecision
			if err := json.Unmarshal(raw, &e); err != nil {
				return fmt.Errorf("understand the server's answer: %w", err)
			}
			return api.WriteExplanation(cmd.OutOrStdout(), e)
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Image, "image", "", "what it would be done to: PROJECT/NAME:TAG or PROJECT/NAME@DIGEST")
	f.StringVar(&body.User, "as", "", "who would do it; an anonymous client when it is not given")
	f.StringVar(&body.Issuer, "issuer", "", `who vouches for them, such as "robot" (default "local")`)
	f.StringVar(&action, "action", "", "what they would do, such as manifest.pull or manifest.push")
	f.StringVar(&body.Project, "project", "", "the project that the question belongs to, when there is no image")
	return cmd
}
