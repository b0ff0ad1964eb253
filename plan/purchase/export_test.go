package purchase

// AdvisorAt is an advisor with a threshold of the test's choice.
func AdvisorAt(q RentOrBuy, threshold int64) (*Advisor, error) { return q.advisor(threshold, 0) }
