package policy

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
)

// Document is the input that rules see, as JSON values: the policy contract,
// "Common input" and "Per action". It is a pure function of the facts, and
// everything in it that can differ between two requests is in the key of the
// decision cache (key.go): whoever adds a field here adds it there.
func Document(f Facts) map[string]any {
	r := &f.Request
	doc := map[string]any{
		"api":        1,
		"action":     string(r.Action),
		"purpose":    string(purposeOf(r)),
		"time":       timeDoc(r.At),
		"request":    requestDoc(r.HTTP),
		"subject":    subjectDoc(r.Principal, f.Subject),
		"workspace":  workspaceOf(r),
		"project":    projectDoc(f),
		"waivers":    waiversDoc(f.Waivers),
		"repository": repositoryDoc(f),
		"breakglass": breakglassDoc(f.BreakGlass),
		"bundle":     map[string]any{"revision": f.Revision},
	}
	addActionParts(doc, f)
	return doc
}

// addActionParts adds what only some actions have. A part that the request does
// not carry is left out, so that a schema can tell the actions apart.
func addActionParts(doc map[string]any, f Facts) {
	r := &f.Request
	if r.Reference.Kind != "" {
		doc["reference"] = referenceDoc(r.Reference)
	}
	if r.Artifact != nil {
		doc["artifact"] = artifactDoc(r.Artifact, r)
	}
	if r.Blob != nil {
		doc["blob"] = map[string]any{
			"digest": orNull(string(r.Blob.Digest)), "size": r.Blob.Size, "manifest": orNull(string(r.Blob.Manifest)),
		}
	}
	if r.Upload != nil {
		doc["upload"] = uploadDoc(*r.Upload)
	}
	if r.Mount != nil {
		doc["mount"] = map[string]any{
			"from": r.Mount.From.Name, "from_project": r.Mount.From.Project(),
			"subject_can_pull_from": r.Mount.SubjectCanPullFrom, "manifests": digestsDoc(r.Mount.Manifests),
		}
	}
	if r.Referrers != nil {
		doc["filter"] = map[string]any{"artifact_type": orNull(r.Referrers.ArtifactType)}
		doc["result"] = map[string]any{"count": r.Referrers.Count}
	}
	if r.Token != nil {
		doc["token"] = tokenDoc(*r.Token, f.Scopes)
	}
	if r.Admin != nil {
		a := r.Admin
		doc["admin"] = map[string]any{
			"resource": a.Resource, "verb": a.Verb, "id": a.ID,
			"before": jsonValue(a.Before), "after": jsonValue(a.After), "auto": orNull(a.Auto),
		}
	}
	switch r.Action {
	case TagDelete, ManifestDelete:
		doc["retention"] = map[string]any{
			"hold": false, "legal_hold": nil, "in_use": map[string]any{"status": "absent"},
		}
	}
}

func purposeOf(r *Request) Purpose {
	if r.Purpose == "" {
		return Use
	}
	return r.Purpose
}

func workspaceOf(r *Request) string {
	for _, w := range []string{r.Repository.Workspace, r.Principal.Workspace} {
		if w != "" {
			return w
		}
	}
	return DefaultWorkspace
}

func timeDoc(at time.Time) map[string]any {
	return map[string]any{"ns": at.UnixNano(), "rfc3339": at.UTC().Format(time.RFC3339)}
}

func requestDoc(h HTTP) map[string]any {
	return map[string]any{
		"method": h.Method, "path": h.Path, "client_ip": h.ClientIP,
		"user_agent": h.UserAgent, "tls": tlsDoc(h), "host": h.Host,
	}
}

func tlsDoc(h HTTP) any {
	if h.PeerSPIFFE == "" {
		return nil
	}
	return map[string]any{"peer_spiffe": h.PeerSPIFFE}
}

func subjectDoc(p Principal, s Subject) map[string]any {
	return map[string]any{
		"kind": string(p.Kind), "id": p.ID, "name": p.Label(), "issuer": p.Issuer, "auth": p.Auth,
		"groups": stringsDoc(p.Groups), "claims": claimsDoc(p.Claims), "robot": robotDoc(s.Robot),
		"anonymous": p.Anonymous(), "disabled": s.Disabled,
		"roles": stringsDoc(s.Roles), "grants": grantsDoc(s.Grants), "limits": limitsDoc(s),
	}
}

func robotDoc(r *Robot) any {
	if r == nil {
		return nil
	}
	return map[string]any{"name": r.Name, "project": orNull(r.Project), "creator": orNull(r.Creator)}
}

func grantsDoc(grants []Grant) []any {
	out := make([]any, len(grants))
	for i, g := range grants {
		out[i] = map[string]any{
			"repositories": orNull(g.Repositories), "role": orNull(g.Role), "rights": stringsDoc(g.Rights),
		}
	}
	return out
}

// limitsDoc is null for a credential without limits; an empty list is one that
// reaches nothing here.
func limitsDoc(s Subject) any {
	if !s.Limited {
		return nil
	}
	return grantsDoc(s.Limits)
}

func claimsDoc(claims map[string]any) any {
	if len(claims) == 0 {
		return map[string]any{}
	}
	return jsonValue(claims)
}

// projectDoc is an object even where there is no project, because the packs to
// evaluate stand in it; "exists" tells.
func projectDoc(f Facts) map[string]any {
	p := f.Project
	name := p.Name
	if name == "" && f.Request.Repository.Name != "" {
		name = f.Request.Repository.Project()
	}
	return map[string]any{
		"name": name, "exists": f.ProjectExists, "public": f.ProjectExists && p.Public,
		"owner": orNull(p.Owner), "labels": labelsDoc(p.Labels), "packs": packsDoc(f.Packs),
	}
}

func packsDoc(packs []Pack) []any {
	out := make([]any, 0, len(packs))
	for _, k := range packs {
		out = append(out, map[string]any{"name": k.Name, "mode": string(k.Mode), "config": rawDoc(k.Config)})
	}
	return out
}

func repositoryDoc(f Facts) any {
	if f.Request.Repository.Name == "" {
		return nil
	}
	return map[string]any{
		"name": f.Request.Repository.Name, "public": f.ProjectExists && f.Project.Public,
		"immutable_tags": false, "labels": map[string]any{},
	}
}

func referenceDoc(r Reference) map[string]any {
	return map[string]any{
		"kind": r.Kind, "value": r.Value,
		"exists": r.Current != "", "current_digest": orNull(string(r.Current)),
	}
}

func uploadDoc(u Upload) map[string]any {
	doc := map[string]any{"session": orNull(u.Session), "declared_size": nil, "digest": orNull(string(u.Digest))}
	if u.DeclaredSize >= 0 {
		doc["declared_size"] = u.DeclaredSize
	}
	return doc
}

func tokenDoc(t TokenRequest, scopes []ScopeFacts) map[string]any {
	requested := make([]any, 0, len(scopes))
	for _, s := range scopes {
		requested = append(requested, map[string]any{
			"type": s.Scope.Type, "name": s.Scope.Name, "actions": stringsDoc(s.Scope.Actions),
			"project": map[string]any{
				"name": s.Project.Name, "exists": s.ProjectExists, "public": s.ProjectExists && s.Project.Public,
			},
			"roles": stringsDoc(s.Subject.Roles), "grants": grantsDoc(s.Subject.Grants), "limits": limitsDoc(s.Subject),
		})
	}
	return map[string]any{
		"service": t.Service, "requested": requested,
		"ttl_s": int64(t.TTL / time.Second), "offline": t.Offline, "auto": orNull(t.Auto),
	}
}

func waiversDoc(waivers []Waiver) []any {
	out := make([]any, 0, len(waivers))
	for i := range waivers {
		w := &waivers[i]
		out = append(out, map[string]any{
			"id": w.ID, "rule": w.Rule, "terms": stringsDoc(w.Terms),
			"owner": w.Owner, "approver": orNull(w.Approver), "ticket": orNull(w.Ticket), "origin": orNull(w.Origin),
			"expires": w.Expires.UTC().Format(time.RFC3339),
		})
	}
	return out
}

// orNull makes what a source cannot give an explicit null, which the rules'
// library treats as the worst case.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func stringsDoc(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

func digestsDoc(in []digest.Digest) []any {
	out := make([]any, len(in))
	for i, d := range in {
		out[i] = string(d)
	}
	return out
}

func labelsDoc(in map[string]string) map[string]any {
	out := make(map[string]any, len(in))
	for k, v := range in {
		out[k] = v
	}
	return out
}

func rawDoc(raw json.RawMessage) any {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil || v == nil {
		return map[string]any{}
	}
	return v
}

// jsonValue turns a Go value into plain JSON values, so that a rule, a record
// and a replay see one thing.
func jsonValue(v any) any {
	if v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}
