# What the tests beside the rules start from: one input as the gateway makes it.
package bondgate.lib.fixtures

subject(name, roles) := {
	"kind": "user", "id": name, "name": name, "issuer": "local", "auth": "basic", "groups": [], "claims": {},
	"robot": null, "anonymous": false, "disabled": false, "roles": roles, "grants": [], "limits": null,
}

nobody := object.union(subject("", []), {"kind": "", "anonymous": true})

input_for(action, more) := object.union(
	{
		"api": 1,
		"action": action,
		"purpose": "use",
		"time": {"ns": 1790000000000000000, "rfc3339": "2026-09-21T14:13:20Z"},
		"request": {"method": "GET", "path": "/", "client_ip": "", "user_agent": "", "host": "", "tls": null},
		"subject": subject("alice", ["developer"]),
		"workspace": "default",
		"project": {
			"name": "payments", "exists": true, "public": false, "owner": null, "labels": {},
			"packs": [{"name": "rbac", "mode": "deny", "config": {}}],
		},
		"waivers": [],
		"repository": {"name": "payments/api", "public": false, "immutable_tags": false, "labels": {}},
		"breakglass": null,
		"bundle": {"revision": "test"},
	},
	more,
)

artifact := {
	"digest": "sha256:aa", "tags": ["1.4.2", "stable"],
	"media_type": "application/vnd.oci.image.manifest.v1+json", "artifact_type": "",
	"kind": "image", "role": "image", "size": 7023, "subject_digest": null,
	"config_media_type": "application/vnd.oci.image.config.v1+json",
	"config": {
		"os": "linux", "architecture": "amd64", "user": "1000", "created": "2026-09-01T00:00:00Z",
		"labels": {"team": "pay"}, "env_names": [], "exposed_ports": [],
	},
	"annotations": {},
	"layers": [{"digest": "sha256:l1", "size": 1, "media_type": "application/vnd.oci.image.layer.v1.tar+gzip"}],
	"base": {"status": "ok", "source": "annotation", "name": "docker.io/library/debian:12", "digest": null, "age_s": null, "latest": null},
}

# An image, its changes over the one above, and a configuration of the image pack.
image(action, changes, config) := input_for(action, {
	"artifact": object.union(artifact, changes),
	"reference": {"kind": "tag", "value": "1.4.2", "exists": true, "current_digest": "sha256:aa"},
	"project": {"packs": [{"name": "rbac", "mode": "deny", "config": {}}, {"name": "image", "mode": "deny", "config": config}]},
})

# What the build of a bundle adds to data, as far as the decision needs it.
meta := {
	"packs": {
		"rbac": {"class": "access", "shipped": true},
		"image": {"class": "content", "shipped": true},
		"mine": {"class": "content", "shipped": false},
	},
	"rules": {
		"rbac": {"rbac.right": {"waivable": false, "severity": "high", "remediation": "Ask."}},
		"image": {"image.root_user": {"waivable": true, "severity": "high", "remediation": "Set USER."}},
	},
	"needs": {},
	"firm": {},
	"speaks": {"deny": {"*": {"rbac": true, "image": true}}, "warn": {"*": {}}, "obligation": {"*": {}}},
}
