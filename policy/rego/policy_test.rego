package cordon_test

import data.cordon

# Each case of cases.json changes the granted request that is its base.
test_cases if {
	every case in data.cases {
		changed := json.patch(data.base, case.patch)
		answer := cordon.decision with input as changed
		answer.decision == case.expect
	}
}

# A request of a form that the policy does not know gets no answer, and Cordon then asks people.
test_unknown_form if {
	not cordon.decision with input as {"version": 2}
}
