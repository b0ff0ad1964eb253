// Where the server is and which keys to use; the Go test above starts the server. Keys with limits or policies of
// their own are made through the admin API, one for each test that needs one.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { BedrockRuntimeClient, ConverseCommand, ThrottlingException } from '@aws-sdk/client-bedrock-runtime';

export const HAIKU = 'anthropic.claude-3-haiku-20240307-v1:0';
// Served by an engine of its own, which the tests make fail until its circuit opens.
export const FAULTY = 'anthropic.faulty';
export const TITAN_EMBED = 'amazon.titan-embed-text-v2:0';
export const NO_SUCH_ARN = 'arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abcdefabcdef';
export const TOOL_PROMPT = '[[tool:get_weather {"city":"Rome"}]]';

export const url = process.env.FOREBAY_TEST_URL;
export const skip = url ? false : 'SKIPPED: FOREBAY_TEST_URL is not set; run these tests through `make test`';

// The development keys, in the form of those that newKey makes.
export const bearer = { id: '', secret: process.env.FOREBAY_TEST_API_KEY };
export const pair = { id: process.env.FOREBAY_TEST_ACCESS_KEY, secret: process.env.FOREBAY_TEST_SECRET_KEY };

async function admin(method, path, body) {
  const answer = await fetch(`${url}/admin/v1/${path}`, {
    method, body: body && JSON.stringify(body), headers: { Authorization: `Bearer ${bearer.secret}` },
  });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

export async function newKey(kind, { perMinute = 0, models = [] } = {}) {
  const policy = { models, limits: { requests_per_minute: perMinute } };
  return admin('POST', 'keys', { name: `test-${randomUUID()}`, kind, policy });
}

// refused counts the refused calls of a key on the ledger.
async function refused(key) {
  const { rows } = await admin('GET', `usage?by=outcome&key=${key.id}`);
  return rows.find((r) => r.group[0] === 'refused')?.requests ?? 0;
}

export function runtimeClient(key, maxAttempts = 1) {
  const auth = key.id.startsWith('AKIA')
    ? { credentials: { accessKeyId: key.id, secretAccessKey: key.secret } }
    : { token: { token: key.secret }, authSchemePreference: ['httpBearerAuth'] };
  return new BedrockRuntimeClient({ endpoint: url, region: 'us-east-1', maxAttempts, ...auth });
}

// exhausted makes a key that has just been throttled.
async function exhausted(kind, perMinute) {
  const key = await newKey(kind, { perMinute });
  const client = runtimeClient(key);
  const ask = () => client.send(new ConverseCommand({ modelId: HAIKU, messages: [{ role: 'user', content: [{ text: '[[tokens:1]]' }] }] }));
  await assert.rejects(async () => {
    for (let i = 0; i < 2 * perMinute; i++) await ask();
  }, ThrottlingException);
  client.destroy();
  return key;
}

// untilThrottled returns what a call returns that was thrown back at first, and how often it was. A key of 30 requests a
// minute gets one back after two seconds; on a machine so busy that the call comes later, a slower key is tried.
export async function untilThrottled(kind, call) {
  for (const perMinute of [30, 12, 5]) {
    const key = await exhausted(kind, perMinute);
    const out = await call(key);
    const times = (await refused(key)) - 1; // one ended exhausted
    if (times > 0) return { out, times };
  }
  return assert.fail('the client was never throttled');
}
