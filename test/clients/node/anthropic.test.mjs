// The Anthropic packages, unmodified: the API client and the Bedrock client.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import AnthropicBedrock from '@anthropic-ai/bedrock-sdk';
import { HAIKU, TOOL_PROMPT, apiKey, credentials, skip, url } from './setting.mjs';

const user = (content) => [{ role: 'user', content }];
const tools = [{ name: 'get_weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }];

const clients = skip
  ? {}
  : {
      api: new Anthropic({ baseURL: url, apiKey, maxRetries: 0 }),
      bedrock: new AnthropicBedrock({
        baseURL: url, awsRegion: 'us-east-1', awsAccessKey: credentials.accessKeyId, awsSecretKey: credentials.secretAccessKey, maxRetries: 0,
      }),
    };

for (const [name, client] of Object.entries(clients)) {
  describe(`anthropic ${name}`, () => {
    test('message', async () => {
      const out = await client.messages.create({ model: HAIKU, max_tokens: 30, messages: user('Hello') });
      assert.ok(out.content[0].text);
    });

    test('stream', async () => {
      const final = await client.messages.stream({ model: HAIKU, max_tokens: 30, messages: user('Hello') }).finalMessage();
      assert.ok(final.content[0].text);
      assert.ok(final.usage.output_tokens > 0);
    });

    test('tools', async () => {
      const out = await client.messages.create({ model: HAIKU, max_tokens: 99, messages: user(TOOL_PROMPT), tools });
      assert.equal(out.stop_reason, 'tool_use');
      assert.deepEqual(out.content.find((b) => b.type === 'tool_use').input, { city: 'Rome' });
    });

    test('an error has its class', async () => {
      await assert.rejects(client.messages.create({ model: HAIKU, max_tokens: 5, messages: [] }), Anthropic.BadRequestError);
    });
  });
}
