package api

import (
	"net/http"
	"slices"

	"github.com/bondgate/bondgate/policy"
)

// The parameters that every list of Harbor's takes.
func listQuery(more ...string) []string {
	return append([]string{"page", "page_size", "sort", "q"}, more...)
}

// harborRoutes is the part of Harbor's API that is there.
func harborRoutes() []route {
	all := slices.Concat(harborPeopleRoutes(), harborProjectRoutes(), harborRobotRoutes())
	for i := range all {
		all[i].base, all[i].action = HarborPrefix, policy.AdminAPI
	}
	return all
}

func harborPeopleRoutes() []route {
	const ok, made = http.StatusOK, http.StatusCreated
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []route{
		{method: get, pattern: "/systeminfo", resource: "self", verb: "read", status: ok, reply: replyOf[HarborSystemInfo](), plan: (*API).harborSystemInfo},
		{method: get, pattern: "/permissions", resource: "self", verb: "read", status: ok, reply: replyOf[HarborPermissions](), plan: (*API).harborPermissions},
		{method: post, pattern: "/ldap/ping", resource: "directory", verb: "read", status: ok, body: bodyOf[HarborLDAPPing](), reply: replyOf[HarborLDAPPong](), plan: (*API).harborLDAPPing},

		{method: get, pattern: "/users/current", resource: "self", verb: "read", status: ok, reply: replyOf[HarborUser](), plan: (*API).harborCurrentUser},
		{method: get, pattern: "/users/search", resource: "user", verb: "list", status: ok, query: listQuery("username"), reply: replyOf[[]HarborUserFound](), plan: (*API).harborSearchUsers},
		{method: get, pattern: "/users", resource: "user", verb: "list", status: ok, query: listQuery(), reply: replyOf[[]HarborUser](), plan: (*API).harborListUsers},
		{method: post, pattern: "/users", resource: "user", verb: "create", status: made, body: bodyOf[HarborUserCreation](), plan: (*API).harborCreateUser},
		{method: get, pattern: "/users/{user_id}", resource: "user", verb: "read", status: ok, reply: replyOf[HarborUser](), plan: (*API).harborReadUser},
		{method: put, pattern: "/users/{user_id}", resource: "user", verb: "update", status: ok, body: bodyOf[HarborUserProfile](), plan: (*API).harborUpdateUser},
		{method: del, pattern: "/users/{user_id}", resource: "user", verb: "delete", status: ok, plan: (*API).harborDeleteUser},
		{method: put, pattern: "/users/{user_id}/sysadmin", resource: "user", verb: "update", status: ok, body: bodyOf[HarborSysadminFlag](), plan: (*API).harborSetSysadmin},
		{method: put, pattern: "/users/{user_id}/password", resource: "user", verb: "passwd", status: ok, body: bodyOf[HarborPassword](), plan: (*API).harborSetPassword},

		{method: get, pattern: "/usergroups", resource: "group", verb: "list", status: ok, query: listQuery("group_name", "ldap_group_dn"), reply: replyOf[[]HarborGroup](), plan: (*API).harborListGroups},
		{method: get, pattern: "/usergroups/search", resource: "group", verb: "list", status: ok, query: listQuery("groupname"), reply: replyOf[[]HarborGroupFound](), plan: (*API).harborSearchGroups},
		{method: post, pattern: "/usergroups", resource: "group", verb: "create", status: made, body: bodyOf[HarborGroup](), plan: (*API).harborCreateGroup},
		{method: get, pattern: "/usergroups/{group_id}", resource: "group", verb: "read", status: ok, reply: replyOf[HarborGroup](), plan: (*API).harborReadGroup},
		{method: put, pattern: "/usergroups/{group_id}", resource: "group", verb: "update", status: ok, body: bodyOf[HarborGroup](), plan: (*API).harborUpdateGroup},
		{method: del, pattern: "/usergroups/{group_id}", resource: "group", verb: "delete", status: ok, plan: (*API).harborDeleteGroup},
	}
}

func harborProjectRoutes() []route {
	const ok, made = http.StatusOK, http.StatusCreated
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	const one = "/projects/{project_name_or_id}"
	return []route{
		{method: get, pattern: "/projects", resource: "project", verb: "list", status: ok, query: listQuery("name", "public", "owner"), reply: replyOf[[]HarborProject](), plan: (*API).harborListProjects},
		{method: http.MethodHead, pattern: "/projects", resource: "project", verb: "read", status: ok, query: []string{"project_name"}, plan: (*API).harborHeadProject},
		{method: post, pattern: "/projects", resource: "project", verb: "create", status: made, body: bodyOf[HarborProjectRequest](), plan: (*API).harborCreateProject},
		{method: get, pattern: one, resource: "project", verb: "read", status: ok, reply: replyOf[HarborProject](), plan: (*API).harborReadProject},
		{method: put, pattern: one, resource: "project", verb: "update", status: ok, body: bodyOf[HarborProjectRequest](), plan: (*API).harborUpdateProject},
		{method: del, pattern: one, resource: "project", verb: "delete", status: ok, plan: (*API).harborDeleteProject},
		{method: get, pattern: one + "/_deletable", resource: "project", verb: "read", status: ok, reply: replyOf[HarborDeletable](), plan: (*API).harborDeletable},
		{method: get, pattern: one + "/summary", resource: "project", verb: "read", status: ok, reply: replyOf[HarborSummary](), plan: (*API).harborSummary},

		{method: get, pattern: one + "/metadatas", resource: "project", verb: "read", status: ok, reply: replyOf[map[string]string](), plan: (*API).harborMetadata},
		{method: post, pattern: one + "/metadatas", resource: "project", verb: "update", status: ok, body: bodyOf[map[string]string](), plan: (*API).harborAddMetadata},
		{method: get, pattern: one + "/metadatas/{meta_name}", resource: "project", verb: "read", status: ok, reply: replyOf[map[string]string](), plan: (*API).harborReadMetadata},
		{method: put, pattern: one + "/metadatas/{meta_name}", resource: "project", verb: "update", status: ok, body: bodyOf[map[string]string](), plan: (*API).harborPutMetadata},
		{method: del, pattern: one + "/metadatas/{meta_name}", resource: "project", verb: "update", status: ok, plan: (*API).harborDeleteMetadata},

		{method: get, pattern: one + "/members", resource: "member", verb: "list", status: ok, query: listQuery("entityname"), reply: replyOf[[]HarborMember](), plan: (*API).harborListMembers},
		{method: post, pattern: one + "/members", resource: "member", verb: "create", status: made, body: bodyOf[HarborMemberRequest](), plan: (*API).harborAddMember},
		{method: get, pattern: one + "/members/{mid}", resource: "member", verb: "read", status: ok, reply: replyOf[HarborMember](), plan: (*API).harborReadMember},
		{method: put, pattern: one + "/members/{mid}", resource: "member", verb: "update", status: ok, body: bodyOf[HarborRole](), plan: (*API).harborUpdateMember},
		{method: del, pattern: one + "/members/{mid}", resource: "member", verb: "delete", status: ok, plan: (*API).harborRemoveMember},
	}
}

func harborRobotRoutes() []route {
	const ok, made = http.StatusOK, http.StatusCreated
	get, post, put, patch, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	const inProject = "/projects/{project_name_or_id}/robots"
	return []route{
		{method: get, pattern: "/robots", resource: "robot", verb: "list", status: ok, query: listQuery(), reply: replyOf[[]HarborRobot](), plan: (*API).harborListRobots},
		{method: post, pattern: "/robots", resource: "robot", verb: "create", status: made, body: bodyOf[HarborRobotRequest](), reply: replyOf[HarborRobotCreated](), plan: (*API).harborCreateRobot},
		{method: get, pattern: "/robots/{robot_id}", resource: "robot", verb: "read", status: ok, reply: replyOf[HarborRobot](), plan: (*API).harborReadRobot},
		{method: put, pattern: "/robots/{robot_id}", resource: "robot", verb: "update", status: ok, body: bodyOf[HarborRobotRequest](), plan: (*API).harborUpdateRobot},
		{method: patch, pattern: "/robots/{robot_id}", resource: "robot", verb: "update", status: ok, body: bodyOf[HarborSecret](), reply: replyOf[HarborSecret](), plan: (*API).harborRefreshRobot},
		{method: del, pattern: "/robots/{robot_id}", resource: "robot", verb: "delete", status: ok, plan: (*API).harborDeleteRobot},
		{method: get, pattern: inProject, resource: "robot", verb: "list", status: ok, query: listQuery(), reply: replyOf[[]HarborRobot](), plan: (*API).harborListProjectRobots},
		{method: get, pattern: inProject + "/{robot_id}", resource: "robot", verb: "read", status: ok, reply: replyOf[HarborRobot](), plan: (*API).harborReadRobot},
		{method: put, pattern: inProject + "/{robot_id}", resource: "robot", verb: "update", status: ok, body: bodyOf[HarborRobotRequest](), plan: (*API).harborUpdateRobot},
		{method: del, pattern: inProject + "/{robot_id}", resource: "robot", verb: "delete", status: ok, plan: (*API).harborDeleteRobot},
	}
}
