# The default policy as code: what Cordon's own policy does with a request, said in Rego. Change a copy to say more.
# docs/reference/policy.md ("Policy as code") has the input and what an answer means.
package cordon

decision := answer("deny", "the rule is in shadow mode") if {
	input.alert.mode == "shadow"
} else := answer("deny", "more events could still falsify the alert") if {
	input.alert.provisional
} else := answer("deny", "the rule tells people and does not act") if {
	acts
	input.alert.mode != "enforce"
} else := answer("deny", "what the rule asks about is unknown") if {
	acts
	count(input.alert.unknown) > 0
} else := answer("deny", "the alert exists only because an entry has expired") if {
	acts
	input.alert.expired_entry != null
} else := answer("deny", "no grant lets this rule ask for it") if {
	input.grant == null
} else := answer("deny", "the grant is in shadow mode") if {
	input.grant.mode == "shadow"
} else := answer("approval", "the rule is no longer loaded") if {
	input.rule.loaded == null
} else := answer("approval", concat("", ["the rule changed since it was granted: ", concat("; ", input.grant.changes)])) if {
	count(input.grant.changes) > 0
} else := answer("approval", "the alert was raised by another version of the rule") if {
	input.rule.hash != input.rule.loaded
} else := answer("approval", "its grant asks people each time") if {
	input.grant.mode == "approve"
} else := answer("allow", "granted") if {
	input.grant.mode == "enforce"
}

acts if not input.request.tells

answer(what, why) := {"decision": what, "reason": why}
