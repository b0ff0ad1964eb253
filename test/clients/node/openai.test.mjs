// The openai package, unmodified.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { HAIKU, TITAN_EMBED, TOOL_PROMPT, apiKey, skip, throttledKey, url } from './setting.mjs';

const user = (content) => [{ role: 'user', content }];
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

describe('openai', { skip }, () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: apiKey ?? 'none', maxRetries: 0 });

  test('chat', async () => {
    const out = await client.chat.completions.create({ model: HAIKU, messages: user('Hello'), max_tokens: 30 });
    assert.ok(out.choices[0].message.content);
  });

  test('chat, streamed', async () => {
    const stream = await client.chat.completions.create({
      model: HAIKU, messages: user('Hello'), max_tokens: 30, stream: true, stream_options: { include_usage: true },
    });
    let text = '';
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.ok(text);
    assert.ok(usage.completion_tokens > 0);
  });

  test('tools', async () => {
    const out = await client.chat.completions.create({ model: HAIKU, messages: user(TOOL_PROMPT), tools });
    assert.equal(out.choices[0].finish_reason, 'tool_calls');
    assert.deepEqual(JSON.parse(out.choices[0].message.tool_calls[0].function.arguments), { city: 'Rome' });
  });

  test('embeddings', async () => {
    const out = await client.embeddings.create({ model: TITAN_EMBED, input: 'a' });
    assert.equal(out.data[0].embedding.length, 1024);
  });

  test('errors have their class', async () => {
    await assert.rejects(client.chat.completions.create({ model: 'no-such', messages: user('Hi') }), OpenAI.NotFoundError);
    const limited = new OpenAI({ baseURL: `${url}/v1`, apiKey: throttledKey, maxRetries: 0 });
    await assert.rejects(async () => {
      for (let i = 0; i < 3; i++) await limited.chat.completions.create({ model: HAIKU, messages: user('Hi'), max_tokens: 5 });
    }, OpenAI.RateLimitError);
  });
});
