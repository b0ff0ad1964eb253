// Package provision is what callers buy by the model unit: provisioned throughput, from the order to
// the end of the commitment. A Book keeps it in the store, where it survives restarts and is changed in
// transactions; what it needs of models, pools and quotas comes through the small ports beside it.
//
// The life of a throughput:
//
//	Creating ──> InService <──> Updating (another model is put in place)
//	    └──────> Failed
//
// Create, Update and Delete check what is asked, store it and return. Tend does the rest: it holds orders
// against what the pools can back, puts models in place, and renews or ends commitments. The server calls
// it after each change and when the time that it returns has come. A step that a crash cuts off is
// taken again, because every state is stored before anything follows from it.
//
// A commitment renews for another term of the same length when it ends, unless it was cancelled, and it cannot be deleted
// before. Months are those of the calendar in UTC, counted from the first day; where that day is missing, the last of the month.
package provision
