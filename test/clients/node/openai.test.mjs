// The openai package, unmodified.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { FAULTY, HAIKU, TITAN_EMBED, TOOL_PROMPT, bearer, newKey, skip, untilThrottled, url } from './setting.mjs';

const user = (content) => [{ role: 'user', content }];
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

describe('openai', { skip }, () => {
  const make = (key, maxRetries = 0) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key.secret, maxRetries });
  const client = make({ secret: bearer.secret ?? 'none' });
  const hello = { model: HAIKU, messages: user('Hello'), max_tokens: 30 };

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

  test('tools, streamed', async () => {
    const stream = await client.chat.completions.create({ model: HAIKU, messages: user(TOOL_PROMPT), tools, stream: true });
    let name = '';
    let input = '';
    for await (const chunk of stream) {
      for (const call of chunk.choices[0]?.delta?.tool_calls ?? []) {
        name += call.function.name ?? '';
        input += call.function.arguments ?? '';
      }
    }
    assert.equal(name, 'get_weather');
    assert.deepEqual(JSON.parse(input), { city: 'Rome' });
  });

  test('models', async () => {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.ok(ids.includes(HAIKU));
  });

  test('errors have their class', async () => {
    await assert.rejects(client.chat.completions.create({ ...hello, model: 'no-such' }), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create({ ...hello, messages: [] }), OpenAI.BadRequestError);
    await assert.rejects(make({ secret: 'nonsense' }).chat.completions.create(hello), OpenAI.AuthenticationError);
    await assert.rejects(make(await newKey('api-key', { models: ['amazon.*'] })).chat.completions.create(hello), OpenAI.PermissionDeniedError);
    await assert.rejects(client.chat.completions.create({ ...hello, model: FAULTY, messages: user('[[fail:503]]') }), OpenAI.InternalServerError);
  });

  test('a throttle is raised', async () => {
    const limited = make(await newKey('api-key', { perMinute: 1 }));
    await limited.chat.completions.create(hello);
    await assert.rejects(limited.chat.completions.create(hello), OpenAI.RateLimitError);
  });

  test('a throttle is retried once, when the server says', async () => {
    const { out, times } = await untilThrottled('api-key', (key) => make(key, 1).chat.completions.create(hello));
    assert.ok(out.choices[0].message.content);
    assert.equal(times, 1);
  });
});
