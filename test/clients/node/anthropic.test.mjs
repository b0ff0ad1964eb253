// The Anthropic packages, unmodified: the API client, and the Bedrock client with signatures and with an API key.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';
import { FAULTY, HAIKU, NO_SUCH_ARN, TOOL_PROMPT, bearer, newKey, pair, skip, untilThrottled, url } from './setting.mjs';

const user = (content) => [{ role: 'user', content }];
const tools = [{ name: 'get_weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }];
const hello = { model: HAIKU, max_tokens: 30, messages: user('Hello') };

const kinds = {
  api: { kind: 'api-key', key: bearer, make: (key, maxRetries = 0) => new Anthropic({ baseURL: url, apiKey: key.secret, maxRetries }) },
  bedrock: {
    kind: 'access-key',
    key: pair,
    make: (key, maxRetries = 0) =>
      new AnthropicBedrock({ baseURL: url, awsRegion: 'us-east-1', awsAccessKey: key.id, awsSecretKey: key.secret, maxRetries }),
  },
  'bedrock, API key': {
    kind: 'api-key',
    key: bearer,
    make: (key, maxRetries = 0) => new AnthropicBedrock({ baseURL: url, awsRegion: 'us-east-1', apiKey: key.secret, maxRetries }),
  },
};

for (const [name, { kind, key, make }] of Object.entries(kinds)) {
  describe(`anthropic ${name}`, { skip }, () => {
    test('message', async () => {
      const out = await make(key).messages.create(hello);
      assert.ok(out.content[0].text);
    });

    test('stream', async () => {
      const final = await make(key).messages.stream(hello).finalMessage();
      assert.ok(final.content[0].text);
      assert.ok(final.usage.output_tokens > 0);
    });

    test('tools', async () => {
      const ask = { model: HAIKU, max_tokens: 99, messages: user(TOOL_PROMPT), tools };
      for (const out of [await make(key).messages.create(ask), await make(key).messages.stream(ask).finalMessage()]) {
        assert.equal(out.stop_reason, 'tool_use');
        assert.deepEqual(out.content.find((b) => b.type === 'tool_use').input, { city: 'Rome' });
      }
    });

    test('errors have their class', async () => {
      await assert.rejects(make(key).messages.create({ ...hello, messages: [] }), Anthropic.BadRequestError);
      const missing = kind === 'api-key' && name === 'api' ? 'no-such' : NO_SUCH_ARN;
      await assert.rejects(make(key).messages.create({ ...hello, model: missing }), Anthropic.NotFoundError);
      const denied = await newKey(kind, { models: ['amazon.*'] });
      await assert.rejects(make(denied).messages.create(hello), Anthropic.PermissionDeniedError);
      await assert.rejects(make(key).messages.create({ ...hello, model: FAULTY, messages: user('[[fail:503]]') }), Anthropic.InternalServerError);
    });

    test('a throttle is raised', async () => {
      const client = make(await newKey(kind, { perMinute: 1 }));
      await client.messages.create(hello);
      await assert.rejects(client.messages.create(hello), Anthropic.RateLimitError);
    });

    test('a throttle is retried once, when the server says', async () => {
      const { out, times } = await untilThrottled(kind, (limited) => make(limited, 1).messages.create(hello));
      assert.ok(out.content[0].text);
      assert.equal(times, 1);
    });
  });
}

describe('anthropic', { skip }, () => {
  test('a wrong key has its class', async () => {
    await assert.rejects(kinds.api.make({ secret: 'nonsense' }).messages.create(hello), Anthropic.AuthenticationError);
  });
});
