// Package reply turns an engine's HTTP response into what engine.Client promises: a
// refusal into a fault, a body into one event, a stream into a pull of events.
//
// A Stream is fed by a Source, which takes payloads out of their framing (server-sent
// events here, event-stream frames in bedrockclient), and works in one of two ways. A
// call that passes through has a Look function, which is shown every payload and notes what
// it means without changing it; the payload goes on as Event.Raw. Any other call has
// a dialect's decoder, and events are canonical.
//
// A payload noted Hold is kept back until the next one has come. That is how the last
// payload for the client is known (and marked Last) although usage and end marks come
// after it, at no cost to the tokens before.
//
// The limits on the first token and between tokens run until a payload with a token comes:
// comments, pings and openings, which a server sends while its model is stuck, move neither.
//
// A stream that ends without its protocol's end is StreamFailed, however clean the end of
// its connection was.
package reply
