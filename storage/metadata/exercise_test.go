package metadata

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/bondgate/bondgate/policy"
)

// exercise runs everything that both databases must do alike. Each part has a
// database of its own; opening it again is another replica.
func exercise(t *testing.T, database func(t *testing.T) (open func() *Store)) {
	for name, part := range map[string]func(t *testing.T, open func() *Store){
		"a push is read back whole":                                   pushIsReadBack,
		"a second push of a digest keeps the first's time and author": pushAgain,
		"a tag moves only from where the pusher saw it":               tagsCompareAndSwap,
		"of many pushes of one tag exactly one wins":                  oneWinner,
		"many pushes at once are all there":                           manyPushes,
		"a push that fails leaves nothing":                            failedPush,
		"parents, referrers and tags follow their pushes":             derivedFacts,
		"a deleted manifest takes its tags and leaves its referrers":  deletions,
		"a deleted tag leaves its manifest":                           tagDeletion,
		"blobs are known by all their names":                          blobNames,
		"what manifests name by an alias is found by both names":      aliasesInTheGraph,
		"what is named by an alias is found when it is deleted":       aliasesOfTheDeleted,
		"the manifests of a blob come latest first":                   manifestsOfBlob,
		"lists are paged by key in byte order":                        paging,
		"workspaces do not meet":                                      workspaces,
		"the inventory has what is in a project":                      inventory,
		"the inventory is read page by page":                          inventoryPages,
		"a rebuild replaces a repository":                             rebuilding,
		"users are kept, and one administrator is":                    users,
		"of administrators who are taken away at once one stays":      lastAdmins,
		"people of other issuers are enrolled when they log in":       enrolling,
		"of many logins at once each person is enrolled once":         enrollingAtOnce,
		"people are found by page, order and filter":                  listsOfPeople,
		"people are changed by number":                                changesOfPeople,
		"deleted people take what is theirs":                          deletedPeople,
		"groups are recognised by their DN, or else by name":          groups,
		"whoever is in a group of administrators is one":              groupsOfAdmins,
		"people who are linked have what each of them has":            linkedPeople,
		"whoever is linked to a disabled person is locked out":        linkedToDisabled,
		"a link leads to a person and not to a link":                  refusedLinks,
		"the last administrator is not locked out by a link":          linkedAdmins,
		"a replica learns of links and groups of administrators":      replicaLinks,
		"one member has grants for several parts of a project":        grants,
		"roles that somebody made give their rights":                  customRoles,
		"a role is given or deleted, never both":                      roleRace,
		"workloads have what their subject and claims have":           workloads,
		"robots reach what their grants name until they end":          robots,
		"a robot that would reach too far is not made":                badRobots,
		"a robot has two secrets for a while":                         robotSecrets,
		"access tokens are their owner within their limits":           accessTokens,
		"sessions are kept until they end":                            sessions,
		"a stamp changes with what it rests on":                       stamps,
		"uses of credentials are written later":                       usesOfCredentials,
		"workspaces are found by host":                                tenants,
		"nothing is reached from another workspace":                   isolation,
		"numbers are never given twice":                               numbersAreNew,
		"projects are kept whole":                                     projectRecords,
		"repositories are counted by project":                         repositoryCounts,
		"a deleted project leaves nothing for its namesake":           deletedProjects,
		"a replica learns of roles, robots, tokens and hosts":         replicaIdentity,
		"members have their roles from the next view on":              members,
		"projects are made once and updated":                          projects,
		"waivers match what they are for until they expire":           waivers,
		"a grant is for whom and where it was given, until it ends":   brokenGlass,
		"a grant ends with its subject and its projects":              endedGlass,
		"a replica learns of grants":                                  replicaGlass,
		"of many who decide about a grant at once one does":           glassAtOnce,
		"waivers that are wrong are refused, each for its reason":     waiversThatAreWrong,
		"waivers are approved once":                                   waiversInStates,
		"waivers end with their project":                              waiversOfADeletedProjectEnd,
		"the end of a waiver is told once":                            waiverEndsAreToldOnce,
		"people who are linked are one":                               linkedPeopleAreOne,
		"secrets are kept once":                                       secrets,
		"a view does not change":                                      viewsAreImmutable,
		"everything is there after opening again":                     reopening,
		"a replica learns of people and projects":                     replicaDirectory,
		"a replica learns of pushes":                                  replicaIndex,
		"readers never install what a push made stale":                staleReaders,
		"a caller who has left is told so":                            cancelled,
		"a closed store is unavailable":                               closedStore,
	} {
		t.Run(name, func(t *testing.T) { part(t, database(t)) })
	}
}

var repo = policy.Repository{Workspace: "default", Name: "payments/api"}

func dig(name string) digest.Digest { return digest.FromString(name) }

// image makes an artifact of two layers, one of them shared by all.
func image(name string) *policy.Artifact {
	return &policy.Artifact{
		Repository: repo, Digest: dig(name), MediaType: "application/vnd.oci.image.manifest.v1+json",
		Kind: policy.KindImage, Role: policy.RoleImage, Size: 500,
		ConfigBlob: &policy.Descriptor{Digest: dig(name + " config"), Size: 10, MediaType: "application/vnd.oci.image.config.v1+json"},
		Config:     &policy.ImageConfig{OS: "linux", User: "root", Labels: map[string]string{"a": "b"}},
		Layers: []policy.Descriptor{
			{Digest: dig("base"), Size: 100, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"},
			{Digest: dig(name + " layer"), Size: 100, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"},
		},
		PushedAt: time.UnixMicro(1_700_000_000_000_001).UTC(), PushedBy: "alice",
	}
}

// text writes values with a space between any two.
func text(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func same[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
}
