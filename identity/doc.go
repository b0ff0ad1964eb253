// Package identity says who a caller is and what the caller may do: principals and
// policies, keys, and the verification of AWS Signature Version 4 and of bearer keys. It
// is pure: time, randomness and stored keys are arguments.
//
// A signature is checked in two phases, so that key id, date and scope are known to be
// good before a body is read: ParseAuthorization or ParsePresigned give a Claim, Claim.Check
// holds it against clock and region, and Claim.Verify against the secret and the body's hash.
package identity
